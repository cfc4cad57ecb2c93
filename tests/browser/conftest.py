"""A real headless Chromium against the real service, its worker and a merchant on loopback."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from serving.console.sign_in import add_user
from serving.domain.console_user import ConsoleRole
from serving.first_look.sample_merchant import SampleMerchant, sample_merchant
from serving.in_force.policy_activation import POLICY_FILE
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.deliveries import current_secrets
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.serving.http.conftest import (
    Shop,
    a_model_document,
    free_port,
    opened,
    prepared,
    register_champion,
    write_model,
)
from tests.serving.http.test_http_review import a_risk_model_document, cases_about

PASSWORD = "correct horse battery"  # noqa: S105 - of users of the tests
SECONDS_TO_ARRIVE = 30.0


def chromium() -> str:
    """Where the system's Chromium is; skips the test where there is none."""
    wanted = os.environ.get("BONITAS_CHROMIUM")
    found = wanted or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found is None:
        pytest.skip(
            "needs Chromium: apt-get install chromium (or set BONITAS_CHROMIUM), then make test-browser"
        )
    return found


@dataclass(frozen=True)
class Office:
    """The running service with a fraud team, a merchant that listens, and everyone's keys."""

    shop: Shop
    team_key: str
    merchant: SampleMerchant
    secret: str

    @property
    def url(self) -> str:
        return self.shop.server.url

    def asked_to_stop(self) -> dict[str, Any]:
        """The next stop request that reaches the merchant; notices that other tests left are passed over."""
        while True:
            notice = self.merchant.next_notice(self.secret, within_seconds=SECONDS_TO_ARRIVE)
            if notice["type"] == "stop_request.created":
                return notice

    def flagged(self, name: str, size: int = 2) -> dict[str, Any]:
        """Orders that share a device and so open cases; the case of the first."""
        for number in range(1, size + 1):
            customer = f"{name}-{number}"
            self.shop.customer(customer)
            self.shop.score(f"o-{customer}", customer, device_id=f"device-{name}")
        return cases_about(self.shop, self.team_key, {f"o-{name}-1"})[f"o-{name}-1"]


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    chromium()
    home = tmp_path_factory.mktemp("browser")
    policy_file = home / "policy.toml"
    policy_file.write_text(POLICY_FILE.read_text().replace("undo_seconds = 30", "undo_seconds = 4"))
    settings = Settings.from_env(
        {
            "BONITAS_HOME": str(home),
            "BONITAS_MODEL_POLL_SECONDS": "0.3",
            "BONITAS_POLICY": str(policy_file),
            "BONITAS_ALLOW_PRIVATE_ENDPOINTS": "1",
        }
    )
    keys = prepared(settings)
    register_champion(settings, write_model(home / "credit", a_model_document()))
    risk = Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_MODEL": "order-risk"})
    register_champion(risk, write_model(home / "risk", a_risk_model_document()))
    store = open_store(settings.database_url)
    team_key = create_key(store, name="team", role="fraud", merchant_id=None, now_ms=now_ms())
    for name, role in (("ann", ConsoleRole.FRAUD), ("ada", ConsoleRole.ANALYST)):
        add_user(store, name=name, role=role.value, password=PASSWORD, now_ms=now_ms())
    with store.writing("webhook-secret") as tx:
        secret = current_secrets(tx, "m1", now_ms())[0]
    store.close()
    with (
        sample_merchant() as merchant,
        running_server(settings, port=free_port(), log_file=home / "server.log", with_worker=True) as server,
    ):
        shop = opened(server, settings, keys)
        shop.events({**merchant.account_event(datetime.now(UTC)), "merchant_id": "m1"})
        yield Office(shop, team_key, merchant, secret)
        shop.client.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Containers often forbid the sandbox's own namespaces; the pages are ours.
        launched = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield launched
        launched.close()


def sign_in(page: Any, office: Office, name: str = "ann") -> None:
    page.goto(f"{office.url}/console/")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()
