"""What very many customers share links nobody: not in features, not in another look, not in the pictures."""

from dataclasses import replace

import pytest
from alembic import command
from sqlalchemy import create_engine, text

from data_contracts.ledger_contracts import CONTRACTS
from features.entities import EntityKind
from features.order_links import order_keys
from serving.store.ledger import append
from serving.store.migrate import alembic_config, migrate, sqlalchemy_url
from serving.store.open_store import open_store
from serving.store.order_links import crowded_entities, order_rows
from serving.store.store import Store
from tests.builders import DAY, a_customer, a_merchant, a_row, an_order, ms
from tests.serving.case_desk import a_desk
from tests.serving.cases.test_case_dossier import look, other_order
from tests.serving.screening.test_order_review import Team
from tests.serving.screening.test_order_review import team as team  # noqa: PLC0414 - the fixture

PLACE = {"delivery_street": "Am Laden", "delivery_house_number": "1", "delivery_postal_code": "10115"}


def few(team: Team, maximum: int) -> Team:
    risk = replace(team.policy.order_risk, linked_customers_maximum=maximum)
    return replace(team, policy=replace(team.policy, order_risk=risk))


@pytest.mark.parametrize(("maximum", "triggers"), [(3, 3), (2, 2)])
def test_a_device_of_more_customers_than_the_policy_says_is_nobodys(
    team: Team, maximum: int, triggers: int
) -> None:
    team = few(team, maximum)
    for number in range(1, 4):
        team.approved(f"o{number}", f"c{number}", device_id="till", delivery_house_number=f"{number}")
        team.work()
    # The third customer leads to another look at the first orders only where three may share a device.
    assert len(team.looks("o1")) == triggers
    assert set(team.open_cases()) == ({"o1", "o2", "o3"} if maximum == 3 else {"o1"} | {"o2"})
    flagged = dict(team.looks("o3")[:1])
    assert flagged == {"order_approved": "flagged" if maximum == 3 else "clear"}


def test_customers_whose_device_is_not_known_have_nothing_in_common(team: Team) -> None:
    for number in range(1, 6):
        team.approved(f"o{number}", f"c{number}", device_id="unknown", delivery_house_number=f"{number}")
        team.work()
    assert team.open_cases() == {}
    assert all(team.looks(f"o{number}") == [("order_approved", "clear")] for number in range(1, 6))


def test_a_telephone_and_a_mailbox_lead_to_another_look(team: Team) -> None:
    team.approved("o1", "c1", delivery_house_number="1")
    team.work()
    team.approved("o2", "c2", delivery_house_number="2", contact_phone="(030) 1234567")
    team.work()
    team.approved("o3", "c3", delivery_house_number="3", contact_email="Erika@EXAMPLE.com")
    team.work()
    assert [trigger for trigger, _ in team.looks("o1")] == ["order_approved", "linked_order", "linked_order"]


@pytest.mark.parametrize(("maximum", "looks"), [(2, 0), (50, 1)])
def test_fraud_on_what_very_many_share_leads_to_no_other_look(team: Team, maximum: int, looks: int) -> None:
    team = few(team, maximum)
    for number in range(1, 4):
        team.approved(f"o{number}", f"c{number}", device_id="till", delivery_house_number=f"{number}")
    team.work()
    of_order = {"order_id": "o3", "customer_id": "c3", "kind": "identity_misuse_upheld"}
    team.event("order_outcomes", a_row("order_outcomes", "found", team.now, None, **of_order))
    team.work()
    assert [trigger for trigger, _ in team.looks("o1")].count("linked_fraud_confirmed") == looks


def test_the_picture_leaves_out_what_very_many_share(store: Store) -> None:
    desk = a_desk(store, device_id="till")
    for number in ("2", "3"):
        other_order(desk, number, device_id="till")
    assert {order.order_id for order in look(desk).links.orders} == {"o2", "o3"}
    risk = replace(desk.scope.policy.order_risk, linked_customers_maximum=2)
    desk.policy = replace(desk.scope.policy, order_risk=risk)
    assert look(desk).links.orders == ()


def test_how_many_share_a_value_is_what_was_recorded_by_then(team: Team) -> None:
    moments = []
    for number in range(1, 4):
        moments.append(team.now)
        team.approved(f"o{number}", f"c{number}", device_id="till", delivery_house_number=f"{number}")
    team.work()
    with team.store.reading() as tx:
        keys = order_keys(order_rows(tx, "o1")[0])
        for moment, crowded in ((moments[2], False), (moments[2] + 1, True)):
            assert (EntityKind.DEVICE in crowded_entities(tx, keys, 2, moment)) is crowded


def test_a_store_from_before_gets_its_links_in_the_one_form(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'old.db'}"
    migrate(url)
    opened = open_store(url)
    sent = {"recorded_at"}
    at = ms("2026-06-01")
    of_order = {"order_id": "o1", "customer_id": "c1"}
    moved = {f"new_{name}": value for name, value in PLACE.items()}
    rows = [
        ("merchants", a_merchant(at=at)),
        ("customers", a_customer("c1", at=at)),
        ("orders", an_order("o1", "c1", at=at, device_id="d1", ip_address="1.2.3.4:80")),
        (
            "order_events",
            a_row("order_events", "moved", at, None, kind="address_changed", **of_order, **moved),
        ),
        ("order_outcomes", a_row("order_outcomes", "found", at, None, kind="fraud_chargeback", **of_order)),
    ]
    for contract, row in rows:
        with opened.writing("c1") as tx:
            append(tx, CONTRACTS[contract], {k: v for k, v in row.items() if k not in sent}, at + DAY)
    read = "SELECT entity_kind, entity_key, is_finding, event_id FROM order_links ORDER BY 1, 2, 3, 4"
    with opened.reading() as tx:
        kept = tx.execute(read)
    opened.close()
    engine = create_engine(sqlalchemy_url(url))
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0005")
        connection.execute(text("UPDATE order_links SET entity_key = entity_key || ' of old'"))
        connection.execute(text("DELETE FROM person_keys"))
    engine.dispose()
    migrate(url)
    opened = open_store(url)
    with opened.reading() as tx:
        assert tx.execute(read) == kept
        assert len(tx.execute("SELECT 1 FROM person_keys")) == 2
    opened.close()
    assert {kind for kind, *_ in kept} >= {"device", "delivery_address", "mailbox", "phone", "ip_prefix"}
