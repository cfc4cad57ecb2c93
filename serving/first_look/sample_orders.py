"""A handful of telling orders for a first look: real customers of the book, and a few strangers.

They are sent to the running service like any checkout's orders; nothing about their answers is fixed.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.customers import CUSTOMERS
from data_contracts.instants import instant_ms
from data_contracts.merchants import MERCHANTS
from data_contracts.parquet_ledger import read_table
from features.decisions import Decisions
from features.feature_sets import INVOICE_ELIGIBILITY
from features.instants import NEVER, Float64Array
from features.offline import build_features
from features.supersession import seen_rows

DAYS_OF_VALIDITY_LEFT = 30
"""A sample customer's papers shall not expire while someone looks at the samples."""


@dataclass(frozen=True, kw_only=True)
class SampleOrder:
    """One order to send, in words and as the body of POST /v1/score.

    events: ledger rows to send to POST /v1/events first, for a customer whom the book does not know.
    """

    title: str
    body: dict[str, Any]
    events: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class DecidedSample:
    """A sample order and the answer that the service gave."""

    order: SampleOrder
    answer: dict[str, Any]


RING_SIZE = 4
RING_AMOUNT_CENTS = 23_900


@dataclass(frozen=True, kw_only=True)
class SampleKeys:
    """The keys of who sends: the checkout its orders, the back office (`ledger`) customers and merchants."""

    checkout: str
    ledger: str


def send_ring(url: str, keys: SampleKeys, merchant: dict[str, Any], *, now: datetime) -> list[str]:
    """Send the orders of a ring: fresh accounts, one device, one place, goods that sell again easily.

    merchant: the ledger row of where they order, which is sent first.
    Returns the ids of those that were approved. Raises SampleRefusedError.
    """
    run_id = now.strftime("%Y%m%d%H%M%S")
    drop = {
        "name": "Paul Sommer",
        "street": "Am Hafen",
        "house_number": f"{int(run_id[-4:]) % 900 + 1}",
        "postal_code": "20457",
        "city": "Hamburg",
        "country": "DE",
    }
    approved = []
    with _client(url, keys.checkout) as client, _client(url, keys.ledger) as back_office:
        _feed(back_office, [merchant])
        for number, (given, family) in enumerate(
            (("Jan", "Winkler"), ("Lena", "Busch"), ("Ole", "Kramer"), ("Mia", "Voigt"))[:RING_SIZE], start=1
        ):
            registered = now - timedelta(hours=6 + number)
            customer, event = new_customer(f"ring-{run_id}-{number}", now, given, family)
            stamp = registered.astimezone(UTC).isoformat(timespec="milliseconds")
            fresh = {name: stamp for name in event if name.endswith("_at")}
            _feed(back_office, [{**event, **fresh}])
            body = sample_order_body(
                f"ring-{run_id}-{number}",
                customer,
                merchant["merchant_id"],
                RING_AMOUNT_CENTS,
                item_category="computers_phones",
                delivery=drop,
                device_id=f"device-ring-{run_id}",
                ip_address="100.64.19.7",
            )
            answer = _accepted(
                client.post("/v1/score", json=body, headers={"Idempotency-Key": body["order_id"]})
            )
            if answer["outcome"] == "approved":
                approved.append(body["order_id"])
    return approved


def end_sample_merchant(url: str, keys: SampleKeys, merchant: dict[str, Any]) -> None:
    """Send the row that says that a sample merchant listens no longer. Raises SampleRefusedError."""
    row = {name: value for name, value in merchant.items() if name != "endpoint_url"}
    with _client(url, keys.ledger) as back_office:
        _feed(back_office, [row])


class SampleRefusedError(Exception):
    """The service did not take a sample; the message holds its answer."""


class NoSampleCustomersError(Exception):
    """The book holds no verified customer to show."""


def send_sample_orders(url: str, keys: SampleKeys, directory: Path, *, now: datetime) -> list[DecidedSample]:
    """Send the sample orders to a running service, with its customers' events first.

    Raises SampleRefusedError if the service answers anything but a decision.
    """
    decided = []
    with _client(url, keys.checkout) as client, _client(url, keys.ledger) as back_office:
        for order in sample_orders(directory, now=now, run_id=now.strftime("%Y%m%d%H%M%S")):
            if order.events:
                _feed(back_office, order.events)
            answer = _accepted(
                client.post("/v1/score", json=order.body, headers={"Idempotency-Key": order.body["order_id"]})
            )
            decided.append(DecidedSample(order=order, answer=answer))
    return decided


def _client(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0)


def _feed(back_office: httpx.Client, rows: Sequence[dict[str, Any]]) -> None:
    """Raises SampleRefusedError where the ledger does not take every row."""
    answer = _accepted(back_office.post("/v1/events", json={"events": list(rows)}))
    if answer["rejected"]:
        raise SampleRefusedError(f"the ledger refused a row: {answer['results']}")


def _accepted(response: httpx.Response) -> dict[str, Any]:
    if response.status_code != httpx.codes.OK:
        raise SampleRefusedError(f"{response.request.url} answered {response.status_code}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def sample_orders(directory: Path, *, now: datetime, run_id: str) -> list[SampleOrder]:
    """The telling orders: good, over the limit, overdue, stranger, minor, unverified, house number missing.

    directory: the ledger folder that the store was loaded from.
    now: aware UTC. run_id: makes the order ids of this run its own.
    Raises NoSampleCustomersError if the book is too small to show anything.
    """
    customers = _current_customers(directory, now)
    if customers.num_rows == 0:
        raise NoSampleCustomersError(f"{directory} holds no verified customer; simulate a larger book")
    features = _features_now(directory, customers, now)
    merchant_id = read_table(directory, MERCHANTS, ["merchant_id"])["merchant_id"][0].as_py()
    settled = features["overdue_invoice_count_last"] == 0
    reliability = features["on_time_payment_ratio_730d"] - features["outstanding_to_on_time_ratio_365d"]
    reliability = reliability - features["statement_days_past_due_sum_185d"]
    best = np.argsort(np.where(settled, -reliability, np.inf), kind="stable")
    overdue = int(np.argmax(features["overdue_cents_last"]))

    def row(place: int) -> dict[str, Any]:
        return dict(customers.slice(place, 1).to_pylist()[0])

    def order(number: int, customer: dict[str, Any], amount_cents: int, **changes: Any) -> dict[str, Any]:
        return sample_order_body(f"sample-{run_id}-{number}", customer, merchant_id, amount_cents, **changes)

    good, generous = row(int(best[0])), row(int(best[min(1, len(best) - 1)]))
    stranger, stranger_event = new_customer(f"stranger-{run_id}", now, "Lena", "Sommer")
    minor, minor_event = new_customer(
        f"minor-{run_id}", now, "Jonas", "Keller", birth_date=_years_before(now.date(), 17).isoformat()
    )
    unverified, unverified_event = new_customer(
        f"unverified-{run_id}",
        now,
        "Mia",
        "Brandt",
        identity_status="pending",
        identity_document_expires_on=None,
        phone_confirmed_at=None,
    )
    incomplete = order(7, good, 4_990)
    del incomplete["delivery"]["house_number"]
    return [
        SampleOrder(title="good customer", body=order(1, good, 8_990)),
        SampleOrder(title="stranger, verified", body=order(2, stranger, 5_900), events=(stranger_event,)),
        SampleOrder(title="overdue invoice", body=order(3, row(overdue), 3_990)),
        SampleOrder(title="a minor", body=order(4, minor, 2_490), events=(minor_event,)),
        SampleOrder(title="over the limit", body=order(5, generous, 480_000)),
        SampleOrder(title="not yet verified", body=order(6, unverified, 5_900), events=(unverified_event,)),
        SampleOrder(title="house number missing", body=incomplete),
    ]


def _current_customers(directory: Path, now: datetime) -> pa.Table:
    """The newest row of every customer whose verification will stand for some time."""
    table = read_table(directory, CUSTOMERS)
    seen = seen_rows(CUSTOMERS, table)
    table = table.take(pa.array(seen.place[seen.seen_until == NEVER]))
    valid_until = pa.scalar((now + timedelta(days=DAYS_OF_VALIDITY_LEFT)).date())
    fresh = pa.scalar(now - timedelta(days=365), table["personal_data_confirmed_at"].type)
    verified = [
        pc.equal(table["identity_status"], "verified"),
        pc.equal(table["residence_country"], "DE"),
        pc.greater(table["identity_document_expires_on"], valid_until),
        pc.is_valid(table["email_confirmed_at"]),
        pc.is_valid(table["phone_confirmed_at"]),
        pc.greater(table["personal_data_confirmed_at"], fresh),
        pc.less(table["birth_date"], pa.scalar(_years_before(now.date(), 19))),
    ]
    for mask in verified:
        table = table.append_column(f"_{table.num_columns}", mask)
    for name in [name for name in table.column_names if name.startswith("_")]:
        table = table.filter(pc.fill_null(table[name], False))
    return table.select([column.name for column in CUSTOMERS.columns])


def _features_now(directory: Path, customers: pa.Table, now: datetime) -> dict[str, Float64Array]:
    ids = customers["customer_id"].to_numpy(zero_copy_only=False)
    decisions = Decisions(decision_id=ids, customer_id=ids, as_of_ms=np.full(len(ids), instant_ms(now)))
    matrix = build_features(directory, decisions, INVOICE_ELIGIBILITY)
    return {name: matrix.values[:, index] for index, name in enumerate(matrix.names)}


def _years_before(day: date, years: int) -> date:
    is_leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - years, day=28 if is_leap_day else day.day)


def new_customer(
    customer_id: str,
    now: datetime,
    given_name: str,
    family_name: str,
    *,
    registered_days_ago: int = 7,
    **changes: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A customer who registered some days ago, and the ledger row that says so."""
    registered = (
        (now - timedelta(days=registered_days_ago)).astimezone(UTC).isoformat(timespec="milliseconds")
    )
    customer = {
        "customer_id": customer_id,
        "registered_at": registered,
        "given_name": given_name,
        "family_name": family_name,
        "birth_date": "1991-03-14",
        "email": f"{given_name}.{family_name}@mail.example".lower(),
        "phone": "+49 30 5550142",
        "residence_street": "Lindenallee",
        "residence_house_number": "12",
        "residence_postal_code": "10115",
        "residence_city": "Berlin",
        "residence_country": "DE",
        "language": "de",
        "identity_status": "verified",
        "identity_document_expires_on": (now + timedelta(days=1500)).date().isoformat(),
        # Samples of another run are called the same and live there too, and are other people.
        "identity_document_hmac": hmac.new(
            b"the key of the samples", customer_id.encode(), hashlib.sha256
        ).hexdigest(),
        "email_confirmed_at": registered,
        "phone_confirmed_at": registered,
        "personal_data_confirmed_at": registered,
        **changes,
    }
    event = {
        "contract": "customers",
        "event_id": f"registered-{customer_id}",
        "occurred_at": registered,
        **customer,
    }
    return customer, {name: value for name, value in event.items() if value is not None}


def sample_order_body(
    order_id: str, customer: dict[str, Any], merchant_id: str, amount_cents: int, **changes: Any
) -> dict[str, Any]:
    """The body of POST /v1/score for an order of goods at 19 % VAT, to the customer's own address.

    customer: as `new_customer` gives it. changes: fields with another value.
    """
    address = {
        "name": f"{customer['given_name']} {customer['family_name']}",
        "street": customer["residence_street"],
        "house_number": customer["residence_house_number"],
        "postal_code": customer["residence_postal_code"],
        "city": customer["residence_city"],
        "country": customer["residence_country"],
    }
    return {
        "order_id": order_id,
        "customer_id": customer["customer_id"],
        "merchant_id": merchant_id,
        "amount_cents": amount_cents,
        "vat_cents": round(amount_cents * 19 / 119),
        "currency": "EUR",
        "kind": "goods",
        "item_category": "clothing",
        "delivery": dict(address),
        "billing": dict(address),
        "contact": {"email": customer["email"], "phone": customer["phone"]},
        "language": "en",
        **changes,
    }
