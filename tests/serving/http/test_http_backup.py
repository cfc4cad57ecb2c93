"""A running service is backed up, and what is restored elsewhere decides as it did."""

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from serving.backup.backup import back_up
from serving.backup.restore import RestoreTarget, restore
from serving.checkout.log_replay import LogReplaySummary, replay_log
from serving.in_force.model_watch import CHAMPION, ModelRegistry
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.open_store import open_store
from tests.serving.http.conftest import Shop, free_port, opened, order_body
from tests.serving.http.score_load import score_load


def wait_for_decisions(shop: Shop, *, more: int) -> None:
    store, first, ends = open_store(shop.settings.database_url), None, time.monotonic() + 30
    try:
        while time.monotonic() < ends:
            with store.reading() as tx:
                ((count,),) = tx.execute("SELECT count(*) FROM decisions")
            first = count if first is None else first
            if count >= first + more:
                return
            time.sleep(0.05)
    finally:
        store.close()
    raise AssertionError("the load decides nothing")


def test_a_home_that_was_backed_up_under_load_serves_elsewhere_as_it_did(shop: Shop, tmp_path: Path) -> None:
    shop.customer("kept")
    shop.customer("busy")
    assert shop.score("kept-1", "kept")["outcome"] == "approved"
    file = tmp_path / "a.backup"
    with score_load(shop, tmp_path, clients=1, body=order_body("", "busy")):
        wait_for_decisions(shop, more=5)
        made = back_up(shop.settings, file, made_at=datetime.now(UTC))
    home = tmp_path / "elsewhere" / "home"
    target = RestoreTarget.named(str(home), home=tmp_path, store_only=False)
    assert restore(file, target, without_deliveries=True).rows == made.rows
    settings = Settings.from_env({"BONITAS_HOME": str(home)})
    registry = ModelRegistry(settings.mlflow_uri, settings.artifact_root)
    assert registry.version_under(settings.model_name, CHAMPION) == ModelRegistry(
        shop.settings.mlflow_uri, shop.settings.artifact_root
    ).version_under(shop.settings.model_name, CHAMPION)
    store = open_store(settings.database_url)
    summary = LogReplaySummary()
    for one in replay_log(store, registry):
        summary.add(one)
    store.close()
    assert summary.all_equal, summary.to_json()
    assert summary.replayed == made.rows["decisions"]
    keys = (shop.checkout_key, shop.merchant_key, shop.other_merchant_key, shop.ledger_key)
    with running_server(settings, port=free_port(), log_file=home / "server.log") as server:
        copy = opened(server, settings, keys)
        assert copy.score("kept-1", "kept")["outcome"] == "approved"
        copy.customer("new")
        assert copy.score("new-1", "new")["outcome"] == "approved"
        copy.client.close()
    shutil.rmtree(home)
