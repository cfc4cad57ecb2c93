"""A merchant that is reached elsewhere: on record, told to the contact before; and a stop after it."""

import email
from email import policy as email_policy
from pathlib import Path
from typing import Any

import pytest

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.merchants import MERCHANTS
from serving.domain.policy_reader import parse_policy
from serving.first_look.sample_merchant import sample_merchant
from serving.in_force.policy_activation import POLICY_FILE
from serving.stop_requests.merchant_notices import endpoint_host, tell_of_contact_changes
from serving.stop_requests.stop_requesting import reached
from serving.store.contact_changes import contact_changes
from serving.store.deliveries import (
    STOP_REQUEST_CREATED,
    Delivery,
    current_secrets,
    deliveries_of,
    is_reached,
    notices_of_account,
    overdue_webhooks,
)
from serving.store.ledger import append
from serving.store.store import Store, now_ms
from serving.webhooks.dispatch import DispatchScope, dispatch_due, send_fallbacks
from serving.webhooks.mailbox import FileMailbox
from tests.builders import DAY, a_merchant
from tests.serving.stop_requests.test_stop_requesting import HOUR, SECOND, Desk

BEFORE = "orders@shop.example"


class Account:
    """The account of merchant m1, whose e-mail is `orders@shop.example` and who reads German."""

    def __init__(self, desk: Desk, mails: Path) -> None:
        self.desk, self.mails, self.rows = desk, mails, 0

    def says(self, *, at: int | None = None, corrects: str | None = None, **columns: Any) -> str:
        self.rows += 1
        event_id = f"merchant:{self.rows}"
        columns = {"email": BEFORE, "language": "de", **columns}
        row = a_merchant(event_id=event_id, at=self.desk.now if at is None else at, **columns)
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        if corrects is not None:
            sent["corrects"] = corrects
        with self.desk.store.writing("m1") as tx:
            assert append(tx, MERCHANTS, sent, self.desk.now).status is AppendStatus.ACCEPTED
        self.desk.now += 1
        return event_id

    def notices(self) -> list[Delivery]:
        tell_of_contact_changes(self.desk.scope)
        with self.desk.store.reading() as tx:
            return notices_of_account(tx, "m1")

    def dispatches(self) -> None:
        scope = DispatchScope(
            store=self.desk.store,
            now_ms=lambda: self.desk.now,
            resolve=lambda _host, _port: ["127.0.0.1"],
            allow_private_addresses=True,
            jitter=lambda: 0.5,
            mailbox=FileMailbox(self.mails),
            on_delivered=lambda tx, stop_request_id, at_ms: reached(
                tx, self.desk.scope, stop_request_id, at_ms
            ),
            fallback_email=lambda _tx, _webhook: pytest.fail("a contact of before is told by e-mail anyway"),
        )
        send_fallbacks(scope)
        dispatch_due(scope)

    def mail(self) -> list[email.message.EmailMessage]:
        files = sorted(self.mails.glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), policy=email_policy.default) for file in files]


@pytest.fixture
def account(store: Store, tmp_path: Path) -> Account:
    # Now: the reference library refuses a webhook that was signed long ago.
    desk = Desk(store, parse_policy(POLICY_FILE.read_text()), now=now_ms())
    return Account(desk, tmp_path / "mails")


def test_a_new_endpoint_and_mailbox_are_told_to_the_old_ones_in_their_language_and_are_on_record(
    account: Account,
) -> None:
    with sample_merchant() as old, sample_merchant() as new:
        account.says(endpoint_url=old.endpoint_url)
        assert account.notices() == []
        moved = {"email": "me@evil.example", "endpoint_url": new.endpoint_url, "language": "sv"}
        event_id = account.says(**moved)
        assert len(account.notices()) == len(account.notices()) == 2
        account.dispatches()
        with account.desk.store.writing() as tx:
            (secret,) = current_secrets(tx, "m1", account.desk.now)
            (change,) = contact_changes(tx, "m1")
        notice = old.next_notice(secret, within_seconds=5)
        assert notice["type"] == "merchant.contact_changed"
        assert notice["data"]["changed"] == ["email", "endpoint_url"]
        assert notice["data"]["email"] == "m…@evil.example"
        assert notice["data"]["endpoint_host"] == endpoint_host(new.endpoint_url)
        with pytest.raises(Exception, match="no webhook arrived"):
            new.next_notice(secret, within_seconds=0.05)
    (mail,) = account.mail()
    assert mail["To"] == BEFORE
    assert mail["Subject"] == "Die Kontaktdaten von Musterladen wurden geändert"
    assert "E-Mail: m…@evil.example" in mail.get_content()
    assert "me@evil.example" not in mail.get_content()
    assert (change.event_id, change.before.email, change.after.email) == (event_id, BEFORE, "me@evil.example")
    assert {notice.state for notice in account.notices()} == {"delivered"}


def test_what_moves_nothing_is_not_told_and_a_change_that_is_taken_back_is_told_where_it_led(
    account: Account,
) -> None:
    first = account.says()
    account.says(name="Another name")
    account.says(at=account.desk.now - DAY, email="late@shop.example")
    assert account.notices() == []
    moved = account.says(email="me@evil.example")
    assert [notice.sent_to for notice in account.notices()] == [BEFORE]
    account.says(corrects=moved, at=account.desk.now)
    assert [notice.sent_to for notice in account.notices()] == [BEFORE, "me@evil.example"]
    account.says(endpoint_url="http://[no-url", corrects=first, at=0)
    account.says(endpoint_url="http://[no-url")
    assert len(account.notices()) == 3


def test_an_old_endpoint_that_is_gone_ends_no_new_one_and_is_given_up_in_the_end(account: Account) -> None:
    with sample_merchant() as old:
        url = old.endpoint_url
    account.says(endpoint_url=url)
    account.says()
    for _ in range(12):
        account.notices()
        account.dispatches()
        account.desk.now += 2 * DAY
    states = {notice.channel: (notice.state, notice.attempts) for notice in account.notices()}
    assert states == {"webhook": ("given_up", 10), "email": ("delivered", 1)}
    with account.desk.store.reading() as tx:
        assert overdue_webhooks(tx, account.desk.now) == []


@pytest.mark.parametrize(("hours", "is_copied"), [(71, True), (73, False)])
def test_a_stop_request_after_a_change_also_goes_to_the_mailbox_before_but_that_copy_starts_no_clock(
    account: Account, hours: int, is_copied: bool
) -> None:
    desk = account.desk
    account.says()
    account.says(email="me@evil.example", endpoint_url="http://127.0.0.1:9/never")
    desk.now += hours * HOUR
    desk.open_case("case1", "o1")
    desk.decide_stop()
    desk.now += 30 * SECOND
    request = desk.ask()
    assert request is not None
    with desk.store.reading() as tx:
        copies = [one for one in deliveries_of(tx, request.stop_request_id) if one.sent_to is not None]
    assert [(one.sent_to, one.channel, one.event_type) for one in copies] == (
        [(BEFORE, "email", STOP_REQUEST_CREATED)] if is_copied else []
    )
    account.dispatches()
    assert [mail["To"] for mail in account.mail()] == [BEFORE] * is_copied
    with desk.store.reading() as tx:
        assert not is_reached(tx, request.stop_request_id)
        assert all(
            one.state == "delivered" for one in deliveries_of(tx, request.stop_request_id) if one.sent_to
        )
