import json
from pathlib import Path

import pytest

from serving.backup.home_files import copy_database
from serving.checkout.replay import replay
from serving.domain.errors import UnknownDecision
from serving.domain.policy_reader import parse_policy
from serving.in_force.model_watch import ModelRegistry
from serving.store.decision_log import decision_of
from serving.store.open_store import open_store
from serving.store.policies import keep_policy
from serving.store.store import now_ms
from tests.builders import DAY, a_payment, an_invoice, an_order
from tests.serving.http.conftest import Shop, as_event
from tests.serving.policy_versions import a_policy_text_without


def test_a_decision_comes_out_again_bit_for_bit_also_after_the_ledger_has_grown(shop: Shop) -> None:
    shop.customer("replayed")
    at = now_ms() - 100 * DAY
    shop.events(
        as_event("orders", an_order("o-r1", "replayed", at=at)),
        as_event("invoices", an_invoice("i-r1", "replayed", at=at, order_id="o-r1")),
    )
    ids = [shop.score("o-r2", "replayed", language="de")["decision_id"]]
    shop.events(as_event("invoice_payments", a_payment("i-r1", "replayed", at=now_ms() - DAY)))
    ids.append(shop.score("o-r2", "replayed", amount_cents=4_000)["decision_id"])
    shop.customer("replayed-minor", birth_date="2019-02-28")
    ids.append(shop.score("o-r3", "replayed-minor")["decision_id"])
    ids.append(shop.score("o-r4", "nobody-knows-me")["decision_id"])
    store = open_store(shop.settings.database_url)
    registry = ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root)
    try:
        for decision_id in ids:
            result = replay(
                store, ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root), decision_id
            )
            assert result.is_identical, result.to_json()
            assert result.answered == result.recomputed
            assert result.to_json()["ledger_compared"] is True
        with pytest.raises(UnknownDecision):
            replay(store, registry, "none")
    finally:
        store.close()


def test_a_decision_from_before_limits_grew_with_what_was_repaid_comes_out_as_it_was(
    shop: Shop, tmp_path: Path
) -> None:
    shop.customer("replayed-old")
    at = now_ms() - 100 * DAY
    ids = {"amount_cents": 100, "order_id": "o-old1"}
    shop.events(
        as_event("orders", an_order("o-old1", "replayed-old", at=at, amount_cents=100, vat_cents=16)),
        as_event("invoices", an_invoice("i-old1", "replayed-old", at=at, **ids)),
        as_event("invoice_payments", a_payment("i-old1", "replayed-old", at=at + DAY, amount_cents=100)),
    )
    answer = shop.score("o-old2", "replayed-old")
    text = a_policy_text_without("limit_growth", "before-growth")
    old = parse_policy(text)
    band = [band for band in old.limits if answer["score"] >= band.from_points][-1]
    assert (answer["limit_basis"], answer["limit_cents"]) == ("first_orders", band.stranger_cents)
    # The shop's own store stays as a service made it: others back it up and restart on it.
    copy = tmp_path / "bonitas.db"
    copy_database(Path(shop.settings.database_url.removeprefix("sqlite:///")), copy)
    store = open_store(f"sqlite:///{copy}")
    try:
        with store.writing("policies") as tx:
            keep_policy(tx, version=old.version, content=text, now_ms=now_ms())
            logged = decision_of(tx, answer["decision_id"])
            assert logged is not None
            # As the earlier code kept it: one paid invoice of 1.00 made a customer known.
            record = logged.record
            del record["standing"]["repaid_invoices"], record["answer"]["limit_basis"]
            del record["other_accounts"], record["judgement_revision"]
            record["answer"] |= {
                "policy_version": old.version,
                "limit_cents": band.known_cents,
                "available_cents": band.known_cents,
            }
            tx.execute(
                "UPDATE decisions SET policy_version = ?, record = ? WHERE decision_id = ?",
                (old.version, json.dumps(record), answer["decision_id"]),
            )
        result = replay(
            store, ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root), answer["decision_id"]
        )
        assert result.is_identical, result.to_json()
    finally:
        store.close()
