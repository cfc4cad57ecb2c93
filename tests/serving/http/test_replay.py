import pytest

from serving.domain.errors import UnknownDecision
from serving.model_watch import ModelRegistry
from serving.replay import replay
from serving.store.store import now_ms, open_store
from tests.builders import DAY, a_payment, an_invoice, an_order
from tests.serving.http.conftest import Shop, as_event


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
