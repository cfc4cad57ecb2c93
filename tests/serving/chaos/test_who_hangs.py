"""Many endpoints and the mail server hang under load: other merchants are told, checkouts do not notice."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from data_contracts.merchants import MERCHANTS
from serving.store.deliveries import DELIVERED, EMAIL, WAITING, WEBHOOK, enqueue
from serving.store.ledger import append
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import a_merchant
from tests.proof_size import IS_LONG
from tests.serving.chaos.conftest import home_settings, served, with_models
from tests.serving.chaos.run_under_load import run_under_load
from tests.serving.chaos.service_processes import Service
from tests.serving.webhooks.test_dispatch import Merchant, merchant

__all__ = ["merchant"]  # the fixture is used by its name

pytestmark = [
    pytest.mark.long_proof,
    pytest.mark.skipif(
        not IS_LONG, reason="two minutes; `webhooks/test_dispatch.py` shows the same in short"
    ),
]

HANGING = 60
"""More than may be on their way at once to those who have not answered yet."""
E_MAILS = 10
OTHERS = 10
OTHERS_WITHIN_S = 60.0


@contextmanager
def hanging_server() -> Iterator[int]:
    """Takes every connection and says nothing; its port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=500)
    held: list[socket.socket] = []

    def take() -> None:
        while True:
            try:
                held.append(listening.accept()[0])
            except OSError:
                return

    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in held:
            one.close()


def test_who_hangs_holds_up_nobody_else(
    merchant: Merchant, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with hanging_server() as endpoints, hanging_server() as mails:
        settings = home_settings(tmp_path / "home", BONITAS_MAIL_URL=f"smtp://127.0.0.1:{mails}")
        with (
            served(Service(settings), with_models(settings, tmp_path / "models")) as shop,
            run_under_load(shop, "hangs", tmp_path, record_property, per_second=20) as run,
            closing(open_store(shop.store_url)) as store,
        ):
            run.usual()
            well = f"http://127.0.0.1:{merchant.server_address[1]}"
            urls = {f"hangs{number}": f"http://127.0.0.1:{endpoints}/{number}" for number in range(HANGING)}
            urls |= {f"well{number}": f"{well}/{number}" for number in range(OTHERS)}
            at = now_ms()
            with store.writing() as tx:
                for name, url in urls.items():
                    row = a_merchant(name, event_id=f"merchant-{name}", at=at - 1_000, endpoint_url=url)
                    del row["recorded_at"]
                    append(tx, MERCHANTS, row, at)
                for number, name in enumerate([*urls, *["hangs0"] * E_MAILS]):
                    is_email = number >= len(urls)
                    enqueue(
                        tx,
                        delivery_id=f"msg-{number}",
                        merchant_id=name,
                        stop_request_id=None,
                        event_type="stop_request.created",
                        channel=EMAIL if is_email else WEBHOOK,
                        body=json.dumps({"subject": "Hallo", "body": "Guten Tag"}),
                        # Those who hang have waited longest.
                        now_ms=at + number,
                    )
            began = time.monotonic()
            while len(set(merchant.ids())) < OTHERS:
                assert time.monotonic() - began < OTHERS_WITHIN_S, len(merchant.ids())
                time.sleep(0.1)
            told_within_s = time.monotonic() - began
            time.sleep(3)
            with store.reading() as tx:
                states = Counter(state for (state,) in tx.execute("SELECT state FROM deliveries"))
            assert states == {WAITING: HANGING + E_MAILS, DELIVERED: OTHERS}
            assert len(merchant.ids()) == OTHERS, "each is told once"
            assert run.outcomes_since_mark().keys() <= {"approved", "declined"}
            run.wait_until_decided_again()
            run.judge()
            record_property("the others were told within", f"{told_within_s:.1f} s")
