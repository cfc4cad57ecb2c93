"""Messages to merchants on SQLite and PostgreSQL: retried, replaced by e-mail, and never lost."""

import email
import email.message
import random
import smtplib
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from serving.store.deliveries import (
    DELIVERED,
    EMAIL,
    GIVEN_UP,
    GONE,
    STOP_REQUEST_CREATED,
    WAITING,
    WEBHOOK,
    Delivery,
    attempts_of,
    current_secrets,
    deliveries_of,
    delivery_of,
    due,
    endpoint_has_ended,
    enqueue,
    lease,
    resend,
    rotate_secret,
)
from serving.store.ledger import append
from serving.store.store import Store, Transaction, now_ms
from serving.webhooks import mailbox
from serving.webhooks.dispatch import (
    Dispatcher,
    DispatchScope,
    dispatch_due,
    email_payload,
    send_fallbacks,
)
from serving.webhooks.mailbox import EmailMessageText, FileMailbox, SmtpMailbox
from serving.webhooks.sending_places import AT_ONE_ENDPOINT, HANGING_AT_ONCE
from tests.builders import a_merchant
from tests.measured_proofs import SIZE
from tests.proof_size import IS_LONG

T = TypeVar("T")

MINUTE = 60_000
REPOSITORY = Path(__file__).parents[3]


class Merchant(ThreadingHTTPServer):
    """A merchant's server on loopback: keeps what it was sent, and answers as it is told."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.usual_status = 200
        self.answer_seconds = 0.0
        self.requests: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://shop.example:{self.server_address[1]}/hook"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        """Killed workers hang up."""


class Handler(BaseHTTPRequestHandler):
    server: Merchant

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(({name.lower(): text for name, text in self.headers.items()}, body))
        time.sleep(self.server.answer_seconds)
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else self.server.usual_status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    server = Merchant()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@dataclass
class Office:
    """A store with one merchant, a clock that stands still until told, and what it was told of."""

    store: Store
    mails: Path
    now: int = field(default_factory=now_ms)
    told: list[tuple[str, int]] = field(default_factory=list)
    email_text: EmailMessageText | None = field(
        default_factory=lambda: EmailMessageText(subject="Bitte stoppen: o1", body="Guten Tag,\nMüller\n")
    )

    @property
    def scope(self) -> DispatchScope:
        return DispatchScope(
            store=self.store,
            now_ms=lambda: self.now,
            resolve=loopback,
            allow_private_addresses=True,
            timeout_seconds=5,
            jitter=lambda: 0.5,
            mailbox=FileMailbox(self.mails),
            on_delivered=lambda _tx, stop_request_id, at_ms: self.told.append((stop_request_id, at_ms)),
            fallback_email=lambda _tx, _id: self.email_text,
        )

    def has_merchant(self, endpoint_url: str | None, merchant_id: str = "m1") -> None:
        row = a_merchant(merchant_id, event_id=f"{merchant_id}-{self.now}", at=self.now)
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        if endpoint_url is not None:
            sent["endpoint_url"] = endpoint_url
        with self.store.writing(merchant_id) as tx:
            assert append(tx, CONTRACTS["merchants"], sent, self.now).status is AppendStatus.ACCEPTED

    def enqueue(
        self, name: str = "1", event_type: str = STOP_REQUEST_CREATED, merchant_id: str = "m1"
    ) -> bool:
        with self.store.writing() as tx:
            return enqueue(
                tx,
                delivery_id=f"msg_{name}",
                merchant_id=merchant_id,
                stop_request_id=f"sr-{name}",
                event_type=event_type,
                channel=WEBHOOK,
                body='{"type":"stop_request.created","name":"Müller"}',
                now_ms=self.now,
            )

    def enqueue_email(self, name: str, address: str) -> None:
        with self.store.writing() as tx:
            enqueue(
                tx,
                delivery_id=f"msg_{name}",
                merchant_id="m1",
                stop_request_id=None,
                event_type=STOP_REQUEST_CREATED,
                channel=EMAIL,
                body=email_payload(EmailMessageText(subject="Hallo", body="Grüße")),
                now_ms=self.now,
                sent_to=address,
            )

    def read(self, query: Callable[[Transaction], T]) -> T:
        with self.store.reading() as tx:
            return query(tx)

    def delivery(self, delivery_id: str = "msg_1") -> Delivery:
        found = self.read(lambda tx: delivery_of(tx, delivery_id))
        assert found is not None
        return found

    def outcomes(self, delivery_id: str = "msg_1") -> list[tuple[int, str, int | None, str]]:
        attempts = self.read(lambda tx: attempts_of(tx, delivery_id))
        return [(made.attempt, made.outcome, made.status, made.detail) for made in attempts]

    def secrets(self) -> list[str]:
        with self.store.writing() as tx:
            return current_secrets(tx, "m1", self.now)

    def rotate(self, overlap_ms: int) -> str:
        with self.store.writing() as tx:
            return rotate_secret(tx, "m1", self.now, overlap_ms)

    def resend(self, delivery_id: str = "msg_1") -> bool:
        with self.store.writing() as tx:
            return resend(tx, delivery_id, self.now)

    def mail(self) -> list[email.message.EmailMessage]:
        return [
            email.message_from_bytes(file.read_bytes(), policy=policy.default)
            for file in sorted(self.mails.glob("*.eml"))
        ]


@pytest.fixture
def office(store: Store, merchant: Merchant, tmp_path: Path) -> Office:
    made = Office(store, tmp_path / "mails")
    made.has_merchant(merchant.url)
    return made


def verifies(secret: str, request: tuple[dict[str, str], bytes]) -> bool:
    headers, body = request
    try:
        Webhook(secret).verify(body.decode(), headers)
    except WebhookVerificationError:
        return False
    return True


def test_a_message_is_delivered_once_signed_and_its_stop_request_hears_of_it(
    office: Office, merchant: Merchant
) -> None:
    assert office.enqueue()
    assert not office.enqueue()
    assert dispatch_due(office.scope) == 1
    assert dispatch_due(office.scope) == 0
    assert office.told == [("sr-1", office.now)]
    (request,) = merchant.requests
    assert request[1].decode() == office.delivery().body
    (secret,) = office.secrets()
    assert verifies(secret, request)
    assert (office.delivery().state, office.delivery().next_attempt_at_ms) == (DELIVERED, None)
    assert office.outcomes() == [(1, "delivered", 200, "200 OK")]
    assert [found.delivery_id for found in office.read(lambda tx: deliveries_of(tx, "sr-1"))] == ["msg_1"]


def test_a_failure_is_tried_again_on_schedule_and_not_before(office: Office, merchant: Merchant) -> None:
    merchant.statuses = [500]
    office.enqueue()
    assert dispatch_due(office.scope) == 1
    office.now += 4_999
    assert dispatch_due(office.scope) == 0
    office.now += 1
    assert dispatch_due(office.scope) == 1
    assert [outcome for _, outcome, _, _ in office.outcomes()] == ["retry", "delivered"]
    assert merchant.ids() == ["msg_1", "msg_1"]
    assert office.told == [("sr-1", office.now)]


def test_ten_failures_give_up_and_one_email_has_gone_out(office: Office, merchant: Merchant) -> None:
    merchant.usual_status = 503
    office.enqueue()
    for _ in range(10):
        office.now = office.delivery().next_attempt_at_ms or 0
        assert dispatch_due(office.scope) >= 1
    assert (office.delivery().state, office.delivery().attempts) == (GIVEN_UP, 10)
    assert len(merchant.requests) == len(office.outcomes()) == 10
    office.now += 30 * 24 * 60 * MINUTE
    assert send_fallbacks(office.scope) == 0
    assert dispatch_due(office.scope) == 0
    assert len(office.mail()) == len(office.told) == 1


def test_410_ends_the_endpoint_and_the_email_goes_out_at_once(office: Office, merchant: Merchant) -> None:
    merchant.usual_status = 410
    office.enqueue()
    dispatch_due(office.scope)
    assert office.delivery().state == GONE
    (mail,) = office.mail()
    assert (mail["To"], mail["Subject"]) == ("shop@example.com", "Bitte stoppen: o1")
    assert mail.get_content().splitlines() == ["Guten Tag,", "Müller"]
    assert office.delivery("msg_1-email").state == DELIVERED
    assert office.told == [("sr-1", office.now)]
    office.enqueue("2")
    dispatch_due(office.scope)
    assert office.outcomes("msg_2") == [(1, "gone", None, "no endpoint")]
    assert len(office.mail()) == 2
    assert len(merchant.requests) == 1


def test_an_endpoint_that_is_named_after_the_end_of_another_is_used(
    office: Office, merchant: Merchant
) -> None:
    merchant.statuses = [410]
    office.enqueue()
    dispatch_due(office.scope)
    assert office.read(lambda tx: endpoint_has_ended(tx, "m1", merchant.url))
    office.now += MINUTE
    office.has_merchant(merchant.url)
    assert office.read(lambda tx: endpoint_has_ended(tx, "m1", merchant.url))
    office.now += MINUTE
    office.has_merchant(f"{merchant.url}/new")
    office.enqueue("2")
    dispatch_due(office.scope)
    assert office.delivery("msg_2").state == DELIVERED


def test_what_is_not_taken_within_15_minutes_becomes_one_email_however_often_asked(
    office: Office, merchant: Merchant
) -> None:
    merchant.usual_status = 500
    office.enqueue()
    dispatch_due(office.scope)
    office.now += 15 * MINUTE - 1
    assert send_fallbacks(office.scope) == 0
    office.now += 1
    assert send_fallbacks(office.scope) == 1
    assert send_fallbacks(office.scope) == 0
    dispatch_due(office.scope)
    assert send_fallbacks(office.scope) == 0
    assert office.told == [("sr-1", office.now)]
    merchant.usual_status = 200
    office.now += 60 * MINUTE
    dispatch_due(office.scope)
    assert office.delivery().state == DELIVERED
    assert len(office.mail()) == len(office.told) == 1


def test_no_email_goes_out_where_there_is_nothing_to_say_or_it_is_about_something_else(
    office: Office, merchant: Merchant
) -> None:
    merchant.usual_status = 500
    office.enqueue("other", event_type="stop_request.withdrawn")
    office.enqueue()
    office.email_text = None
    office.now += 60 * MINUTE
    assert send_fallbacks(office.scope) == 0
    dispatch_due(office.scope)
    assert office.mail() == []


def test_without_an_endpoint_the_email_goes_out_at_once(office: Office, merchant: Merchant) -> None:
    office.now += 1
    office.has_merchant(None)
    office.enqueue()
    dispatch_due(office.scope)
    assert office.outcomes() == [(1, "gone", None, "no endpoint")]
    assert len(office.mail()) == len(office.told) == 1
    assert merchant.requests == []


def test_an_email_that_is_not_taken_is_tried_again(office: Office) -> None:
    office.now += 1
    office.has_merchant(None)
    office.mails.write_text("a file where the folder should be")
    office.enqueue()
    dispatch_due(office.scope)
    assert office.outcomes("msg_1-email") == [(1, "retry", None, "e-mail not taken: NotADirectoryError")]
    assert office.told == []
    office.mails.unlink()
    office.now += 5_000
    dispatch_due(office.scope)
    assert len(office.mail()) == len(office.told) == 1


def test_a_private_address_is_refused_without_the_permission_and_tried_again(
    office: Office, merchant: Merchant
) -> None:
    office.now += 1
    office.has_merchant(merchant.url.replace("http:", "https:"))
    office.enqueue()
    dispatch_due(replace(office.scope, allow_private_addresses=False))
    assert office.outcomes() == [(1, "retry", None, "loopback-address")]
    assert office.delivery().next_attempt_at_ms == office.now + 5_000
    assert merchant.requests == []


def test_a_name_without_an_address_is_tried_again(office: Office) -> None:
    office.enqueue()
    dispatch_due(replace(office.scope, resolve=lambda _host, _port: []))
    assert office.outcomes() == [(1, "retry", None, "the host cannot be resolved")]
    assert office.delivery().state == WAITING


def test_a_rotated_secret_signs_as_well_until_its_end(office: Office, merchant: Merchant) -> None:
    (old,) = office.secrets()
    new = office.rotate(overlap_ms=MINUTE)
    assert office.secrets() == [new, old]
    office.enqueue("1")
    dispatch_due(office.scope)
    office.now += MINUTE
    office.enqueue("2")
    dispatch_due(office.scope)
    during, after = merchant.requests
    assert verifies(old, during)
    assert verifies(new, during)
    assert not verifies(old, after)
    assert verifies(new, after)


def test_a_rotation_without_overlap_ends_every_secret_before_it(office: Office) -> None:
    office.secrets()
    office.rotate(overlap_ms=MINUTE)
    newest = office.rotate(overlap_ms=0)
    assert office.secrets() == [newest]


def test_a_finished_message_is_sent_again_by_hand_and_its_stop_request_is_told_no_second_time(
    office: Office, merchant: Merchant
) -> None:
    office.enqueue()
    assert not office.resend()
    dispatch_due(office.scope)
    assert office.resend()
    assert dispatch_due(office.scope) == 1
    assert merchant.ids() == ["msg_1", "msg_1"]
    assert [number for number, *_ in office.outcomes()] == [1, 2]
    assert len(office.told) == 1
    assert not office.resend("unknown")


def test_two_workers_do_not_send_one_message_at_the_same_time(office: Office, merchant: Merchant) -> None:
    merchant.answer_seconds = 0.05
    for number in range(20):
        office.enqueue(str(number))
    with ThreadPoolExecutor(2) as workers:
        counts = list(workers.map(lambda _: dispatch_due(office.scope), range(2)))
    assert sum(counts) == 20
    assert Counter(merchant.ids()) == {f"msg_{number}": 1 for number in range(20)}
    assert len(office.told) == 20


def test_a_worker_whose_lease_has_ended_changes_no_plan_of_the_next_one(
    office: Office, merchant: Merchant
) -> None:
    merchant.usual_status = 500
    office.enqueue()
    slow = office.scope

    def resolve(host: str, port: int) -> Sequence[str]:
        """Meanwhile the lease ends, and another worker takes the message."""
        office.now += slow.lease_ms
        with office.store.writing() as tx:
            (seen,) = due(tx, office.now, 1)
            assert lease(tx, "msg_1", seen.next_attempt_at_ms or 0, office.now + 7)
        return ["127.0.0.1"]

    dispatch_due(replace(slow, resolve=resolve), limit=1)
    assert office.delivery().next_attempt_at_ms == office.now + 7
    assert len(office.outcomes()) == 1


def test_a_failing_hook_takes_its_record_back_and_costs_no_other_message_its_own(
    office: Office, merchant: Merchant
) -> None:
    def on_delivered(tx: Transaction, stop_request_id: str, at_ms: int) -> None:
        if stop_request_id == "sr-1":
            raise ZeroDivisionError

    office.enqueue("1")
    office.enqueue("2")
    with pytest.raises(ZeroDivisionError):
        dispatch_due(replace(office.scope, on_delivered=on_delivered))
    assert (office.delivery("msg_1").state, office.delivery("msg_2").state) == (WAITING, DELIVERED)
    office.now += office.scope.lease_ms
    dispatch_due(office.scope)
    assert [stop_request_id for stop_request_id, _ in office.told] == ["sr-1"]


def turns_until(
    dispatcher: Dispatcher, scope: DispatchScope, done: Callable[[], bool], within_seconds: float = 10.0
) -> None:
    end = time.monotonic() + within_seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        dispatcher.turn(scope)


def test_an_endpoint_that_hangs_holds_up_only_what_is_for_it(office: Office, merchant: Merchant) -> None:
    hanging = Merchant()
    hanging.answer_seconds = 4.0
    thread = threading.Thread(target=hanging.serve_forever, args=(0.01,))
    thread.start()
    try:
        office.has_merchant(hanging.url, "hangs")
        # All of its messages have waited longer than those of the other.
        for number in range(200):
            office.enqueue(f"hangs-{number}", merchant_id="hangs")
        office.now += 1
        for number in range(30):
            office.enqueue(f"well-{number}")
        dispatcher = Dispatcher()
        turns_until(dispatcher, office.scope, lambda: len(office.told) == 30, within_seconds=3.5)
        assert len(hanging.requests) == 1, "one at a time goes to who has not answered yet"
        assert dispatcher.on_the_way == 1
        began = time.monotonic()
        dispatcher.end(office.scope, within_seconds=0.2)
        assert time.monotonic() - began < 2.0, "who hangs keeps no worker from ending"
        waiting = Counter(row[0] for row in states(office))
        assert waiting == {WAITING: 200, DELIVERED: 30}
    finally:
        hanging.shutdown()
        hanging.server_close()
        thread.join()


def test_a_failing_record_at_the_end_costs_no_message_that_comes_back_after_it_its_own(
    office: Office, merchant: Merchant
) -> None:
    def on_delivered(tx: Transaction, stop_request_id: str, at_ms: int) -> None:
        if stop_request_id == "sr-1":
            raise ZeroDivisionError

    slow = Merchant()
    slow.answer_seconds = 0.5
    thread = threading.Thread(target=slow.serve_forever, args=(0.01,))
    thread.start()
    try:
        office.has_merchant(slow.url, "slow")
        office.enqueue("1")
        office.enqueue("2", merchant_id="slow")
        dispatcher = Dispatcher()
        scope = replace(office.scope, on_delivered=on_delivered)
        assert dispatcher.turn(scope) == 2
        with pytest.raises(ZeroDivisionError):
            dispatcher.end(scope)
        assert (office.delivery("msg_1").state, office.delivery("msg_2").state) == (WAITING, DELIVERED)
    finally:
        slow.shutdown()
        slow.server_close()
        thread.join()


def test_many_endpoints_that_hang_hold_up_nobody_who_was_never_tried(
    office: Office, merchant: Merchant
) -> None:
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen(512)
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/"
        for number in range(60):
            office.has_merchant(url, f"hangs-{number}")
            office.enqueue(f"hangs-{number}", merchant_id=f"hangs-{number}")
        office.now += 1
        for number in range(20):
            office.has_merchant(merchant.url, f"new-{number}")
            office.enqueue(f"new-{number}", merchant_id=f"new-{number}")
        dispatcher = Dispatcher()
        scope = replace(office.scope, timeout_seconds=30.0)
        turns_until(dispatcher, scope, lambda: len(office.told) == 20, within_seconds=15)
        assert dispatcher.on_the_way == 60
        # They are tried again with what hung before among the most overdue, by a worker that knows nobody.
        dispatcher.end(scope, within_seconds=0.1)
    with office.store.writing() as tx:
        tx.execute("UPDATE deliveries SET next_attempt_at_ms = 1, attempts = 1 WHERE state = 'waiting'")
    with socket.socket() as hanging:
        hanging.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hanging.bind(("127.0.0.1", int(url.split(":")[2].strip("/"))))
        hanging.listen(512)
        for number in range(20):
            office.enqueue(f"newer-{number}", merchant_id=f"new-{number}")
        dispatcher = Dispatcher()
        turns_until(dispatcher, scope, lambda: len(office.told) == 40, within_seconds=15)
        assert dispatcher.on_the_way == HANGING_AT_ONCE


class SlowMailbox:
    """A mail server that takes its time."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.free = threading.Event()

    def send(self, to: str, subject: str, body: str, message_id: str) -> None:  # noqa: ARG002 - as a mailbox
        assert self.free.wait(20)
        self.taken.append(message_id)


def test_a_mail_server_that_hangs_holds_up_no_webhook_and_gets_one_message_at_a_time(
    office: Office, merchant: Merchant
) -> None:
    slow = SlowMailbox()
    scope = replace(office.scope, mailbox=slow)
    with office.store.writing() as tx:
        for number in range(20):
            text = EmailMessageText(subject="Hallo", body="Text")
            enqueue(
                tx,
                delivery_id=f"mail_{number}",
                merchant_id="m1",
                stop_request_id=None,
                event_type="merchant.contact_changed",
                channel=EMAIL,
                body=email_payload(text),
                now_ms=office.now,
            )
    office.now += 1
    for number in range(20):
        office.enqueue(str(number))
    dispatcher = Dispatcher()
    turns_until(dispatcher, scope, lambda: len(office.told) == 20)
    assert (dispatcher.on_the_way, slow.taken) == (1, [])
    slow.free.set()
    turns_until(dispatcher, scope, lambda: all(row[0] == DELIVERED for row in states(office)))
    assert sorted(slow.taken) == sorted(f"mail_{number}" for number in range(20))


WORKER = """
import os, random, signal, sys, time
from pathlib import Path
from serving.store.open_store import open_store
from serving.store.store import now_ms
from serving.webhooks.dispatch import DispatchScope, dispatch_due
from serving.webhooks.mailbox import FileMailbox

url, mails, dies_recording = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "dies_recording"

def on_delivered(tx, stop_request_id, at_ms):
    tx.execute("INSERT INTO told (stop_request_id, at_ms) VALUES (?, ?)", (stop_request_id, at_ms))
    if dies_recording:
        os.kill(os.getpid(), signal.SIGKILL)

scope = DispatchScope(
    store=open_store(url), now_ms=now_ms, resolve=lambda host, port: ["127.0.0.1"],
    allow_private_addresses=True, timeout_seconds=0.5, lease_ms=700, jitter=random.random,
    mailbox=FileMailbox(mails), on_delivered=on_delivered, fallback_email=lambda tx, id: None,
)
print("ready", flush=True)
sys.stdin.readline()
while True:
    dispatch_due(scope, limit=1)
    time.sleep(0.005)
"""


def a_worker(database_url: str, mails: Path, dies_recording: bool) -> "subprocess.Popen[str]":
    mode = "dies_recording" if dies_recording else "lives"
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, database_url, str(mails), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


KILLS = 30 if IS_LONG else 5
MESSAGES = 4 * KILLS


@pytest.mark.slow
@pytest.mark.long_proof
def test_no_message_is_lost_and_none_is_told_of_twice_when_workers_are_killed_at_any_moment(
    office: Office, merchant: Merchant, database_url: str, record_property: Callable[[str, object], None]
) -> None:
    record_property(SIZE, f"{KILLS} kills")
    with office.store.writing() as tx:
        tx.execute("CREATE TABLE told (stop_request_id TEXT NOT NULL, at_ms BIGINT NOT NULL)")
    for number in range(MESSAGES):
        office.enqueue(str(number))
    merchant.answer_seconds = 0.06
    moments = random.Random(7)
    for kill in range(KILLS):
        with a_worker(database_url, office.mails, dies_recording=kill % 5 == 0) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            worker.stdin.write("go\n")
            worker.stdin.flush()
            if kill % 5:
                time.sleep(moments.uniform(0, 0.2))
                worker.kill()
            worker.wait(20)
            assert worker.returncode == -9
            with suppress(BrokenPipeError):
                worker.stdin.close()
    waiting_after_the_kills = sum(row[0] == WAITING for row in states(office))

    def on_delivered(tx: Transaction, stop_request_id: str, at_ms: int) -> None:
        tx.execute("INSERT INTO told (stop_request_id, at_ms) VALUES (?, ?)", (stop_request_id, at_ms))

    survivor = replace(office.scope, now_ms=now_ms, on_delivered=on_delivered)
    end = time.monotonic() + 30 + MESSAGES
    while any(row[0] == WAITING for row in states(office)):
        assert time.monotonic() < end
        dispatch_due(survivor)
        time.sleep(0.05)
    assert waiting_after_the_kills > 0
    assert [row[0] for row in states(office)] == [DELIVERED] * MESSAGES
    assert set(merchant.ids()) == {f"msg_{number}" for number in range(MESSAGES)}
    assert len(merchant.ids()) > MESSAGES  # one worker in five died between the answer and its record
    told = office.read(lambda tx: tx.execute("SELECT stop_request_id FROM told"))
    assert sorted(row[0] for row in told) == sorted(f"sr-{number}" for number in range(MESSAGES))


def states(office: Office) -> list[tuple[Any, ...]]:
    return office.read(lambda tx: tx.execute("SELECT state FROM deliveries"))


# Mailboxes


class SmtpHandler(socketserver.StreamRequestHandler):
    """As much of a mail server as smtplib needs."""

    server: "MailServer"

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            command = line.split()[0].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(b"".join(lines))
            self.server.commands.append(line.decode().strip())
            if command == b"RCPT" and self.server.refuses in line:
                self.wfile.write(b"550 nobody of that name\r\n")
            else:
                self.wfile.write(b"250 fine\r\n" if command != b"QUIT" else b"221 bye\r\n")
            if command == b"QUIT":
                return


class MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SmtpHandler)
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.refuses = b"@nowhere.example"


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_mail_server_gets_the_message_for_its_one_recipient(mail_server: MailServer) -> None:
    url = f"smtp://127.0.0.1:{mail_server.server_address[1]}"
    SmtpMailbox(url, "Bonitas <stop@bonitas.example>").send("shop@example.com", "Hallo", "Grüße", "msg_1")
    (sent,) = mail_server.mails
    message = email.message_from_bytes(sent, policy=policy.default)
    assert (message["To"], message["Message-ID"]) == ("shop@example.com", "<msg_1@bonitas.example>")
    assert message.get_content().strip() == "Grüße"
    recipients = [line for line in mail_server.commands if line.upper().startswith("RCPT")]
    assert recipients == ["rcpt TO:<shop@example.com>"]


def test_a_mail_server_that_refuses_an_address_has_answered(office: Office, mail_server: MailServer) -> None:
    url = f"smtp://127.0.0.1:{mail_server.server_address[1]}"
    scope = replace(office.scope, mailbox=SmtpMailbox(url, "Bonitas <stop@bonitas.example>"))
    dispatcher = Dispatcher()
    office.enqueue_email("0", "a@nowhere.example")
    while not office.outcomes("msg_0"):
        dispatcher.turn(scope)
    assert office.outcomes("msg_0") == [(1, "retry", None, "e-mail not taken: SMTPRecipientsRefused")]
    for number in range(1, 2 * AT_ONE_ENDPOINT):
        office.enqueue_email(str(number), "shop@example.com")
    assert dispatcher.turn(scope) == AT_ONE_ENDPOINT
    dispatcher.end(scope)


def test_a_password_is_not_sent_to_a_mail_server_without_tls(mail_server: MailServer) -> None:
    url = f"smtp://user:pass%40word@127.0.0.1:{mail_server.server_address[1]}"
    with pytest.raises(smtplib.SMTPNotSupportedError):
        SmtpMailbox(url, "stop@bonitas.example").send("shop@example.com", "Hallo", "Text", "msg_1")
    assert not any("AUTH" in line.upper() for line in mail_server.commands)
    assert mail_server.mails == []


def test_a_mail_server_that_drips_is_cut_off_when_the_whole_exchange_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mailbox, "EXCHANGE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection = listening.accept()[0]
            with connection, suppress(OSError):
                while True:
                    # Each line of a greeting that never ends begins smtplib's own time-out anew.
                    connection.sendall(b"220-still\r\n")
                    time.sleep(0.05)

        slow = SmtpMailbox(f"smtp://127.0.0.1:{listening.getsockname()[1]}", "stop@bonitas.example")
        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - whatever a broken connection is called
            slow.send("shop@example.com", "Hallo", "Text", "msg_1")
        assert time.monotonic() - began < 5
        thread.join()


@pytest.mark.parametrize("url", ["http://mail.example", "smtp://", "mail.example:25"])
def test_a_url_that_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="mail server"):
        SmtpMailbox(url, "stop@bonitas.example")


def test_a_repeated_email_takes_the_place_of_the_first(tmp_path: Path) -> None:
    mailbox = FileMailbox(tmp_path)
    mailbox.send("shop@example.com", "Hallo", "eins", "msg_1")
    mailbox.send("shop@example.com", "Hallo", "zwei", "msg_1")
    (file,) = tmp_path.iterdir()
    assert (file.name, b"zwei" in file.read_bytes()) == ("msg_1.eml", True)


@pytest.mark.parametrize(
    ("to", "subject", "message_id"),
    [
        ("shop@example.com", "Hallo\r\nBcc: thief@example.com", "msg_1"),
        ("shop@example.com\nBcc: thief@example.com", "Hallo", "msg_1"),
        ("thief@example.com,shop@example.com", "Hallo", "msg_1"),
        ("shop@example.com", "Hallo", "../msg_1"),
        ("shop@example.com", "Hallo", "msg_1>\nBcc: thief@example.com"),
    ],
)
def test_no_value_adds_a_header_a_recipient_or_a_path(
    tmp_path: Path, to: str, subject: str, message_id: str
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's words differ
        FileMailbox(tmp_path).send(to, subject, "Text", message_id)
    assert list(tmp_path.iterdir()) == []
