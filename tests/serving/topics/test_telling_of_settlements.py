"""A merchant that chose to be told of settlements learns what was posted to which note, once each."""

import json
from typing import Any

import pytest

from serving.domain.merchant_topics import Topic, TopicChannel
from serving.domain.text_files import LANGUAGES
from serving.store.deliveries import due
from serving.store.store import Store
from serving.topics.choosing import choose
from serving.topics.telling_of_settlements import tell_of_settlements
from tests.builders import DAY, a_merchant, an_adjustment, an_invoice
from tests.serving.cases.settling import SettlingDesk, a_settling_desk


@pytest.fixture
def desk(store: Store) -> SettlingDesk:
    """Order o1, numbered 4711, of merchant m1."""
    return a_settling_desk(store, order={"merchant_order_number": "4711"})


def invoiced(desk: SettlingDesk) -> None:
    desk.row("invoices", an_invoice("i1", "c1", at=desk.now, amount_cents=10_000))
    desk.settle_all()


def told(desk: SettlingDesk) -> list[dict[str, Any]]:
    tell_of_settlements(desk.scope)
    assert tell_of_settlements(desk.scope) == 0
    with desk.store.reading() as tx:
        return [
            json.loads(delivery.body)
            for delivery in due(tx, desk.now, 100)
            if delivery.event_type == Topic.SETTLEMENT_POSTED
        ]


def test_each_settlement_is_told_with_what_its_lines_come_to(desk: SettlingDesk) -> None:
    choose(desk.scope, "m1", Topic.SETTLEMENT_POSTED, TopicChannel.WEBHOOK, "shop")
    invoiced(desk)
    desk.row(
        "invoice_adjustments",
        an_adjustment("i1", "c1", at=desk.now, amount_cents=3_000, kind="credit_note", reason="return"),
    )
    desk.settle_all()
    notices = told(desk)
    posted = [notice["data"] for notice in notices]
    assert [one["amount_cents"] for one in posted] == [10_000 - 400, -3_000]
    assert sum(one["amount_cents"] for one in posted) == sum(cents for _, cents in desk.to_merchant())
    assert [one["settlement_id"] for one in posted] == ["set-o1-0001", "set-o1-0002"]
    for notice, one in zip(notices, posted, strict=True):
        assert notice["type"] == "settlement.posted"
        assert (one["order_id"], one["merchant_order_number"]) == ("o1", "4711")
        assert (one["period"], one["currency"]) == ("2026-06", "EUR")
    assert "EUR" in posted[0]["text"]
    assert "96,00" in posted[0]["text"]


def test_what_nobody_chose_is_told_to_nobody(desk: SettlingDesk) -> None:
    choose(desk.scope, "m2", Topic.SETTLEMENT_POSTED, TopicChannel.WEBHOOK, "other")
    invoiced(desk)
    assert told(desk) == []
    assert desk.posted()


@pytest.mark.parametrize("language", LANGUAGES)
def test_by_e_mail_it_reads_in_the_merchants_language(desk: SettlingDesk, language: str) -> None:
    desk.row("merchants", a_merchant(event_id=f"in {language}", at=desk.now - DAY, language=language))
    choose(desk.scope, "m1", Topic.SETTLEMENT_POSTED, TopicChannel.EMAIL, "shop")
    invoiced(desk)
    (mail,) = told(desk)
    assert "4711" in mail["subject"]
    for shown in ("set-o1-0001", "2026-06", "96"):
        assert shown in mail["body"]
    assert "{" not in mail["body"]
