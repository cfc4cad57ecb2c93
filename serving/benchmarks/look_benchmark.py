"""What a look at an order costs where few, many and very many orders share something with it."""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from data_contracts.customers import CUSTOMERS
from data_contracts.instants import DAY_MS, SECOND_MS
from data_contracts.orders import ORDERS
from data_contracts.progress import Progress, no_progress
from features.entities import EntityKind
from features.feature_sets import ORDER_RISK
from features.model_columns import columns_of
from serving.in_force.policy_activation import PolicyFile
from serving.in_force.scorer import Calibration, ChampionModel, Scorecard, ScorecardFeature, ScoreScale
from serving.screening.following_decisions import follow_decisions
from serving.screening.order_screening import ScreeningScope, work_off
from serving.store.decision_log import LoggedDecision, append_decision
from serving.store.ledger_rows import content_sha256, insert_event
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.postgresql_store import PostgresqlStore
from serving.store.store import Store, Transaction

SIZES = (10, 1_000, 10_000)
ORDERS_PER_TRANSACTION = 1_000
BEGINNING_MS = 1_780_000_000_000
"""An instant of 2026: the benchmark has a clock of its own."""
MANY_CUSTOMERS = 40
"""So many may share a device or an address by the usual policy."""

_ALL = frozenset(
    {
        EntityKind.DEVICE,
        EntityKind.DELIVERY_ADDRESS,
        EntityKind.MAILBOX,
        EntityKind.PHONE,
        EntityKind.IP_PREFIX,
        EntityKind.MERCHANT,
    }
)


@dataclass(frozen=True, kw_only=True)
class PopularPlace:
    """What the orders of a measurement share. customers: so many have made them; None: another one each."""

    name: str
    shared: frozenset[EntityKind]
    customers: int | None


PLACES = (
    PopularPlace(
        name="merchant and network, a customer for each order",
        shared=frozenset({EntityKind.MERCHANT, EntityKind.IP_PREFIX}),
        customers=None,
    ),
    *(
        PopularPlace(name=f"{name}, {said}", shared=frozenset({kind}), customers=customers)
        for name, kind in (
            ("device", EntityKind.DEVICE),
            ("address", EntityKind.DELIVERY_ADDRESS),
            ("mailbox", EntityKind.MAILBOX),
            ("telephone", EntityKind.PHONE),
        )
        for said, customers in (("one customer", 1), (f"{MANY_CUSTOMERS} customers", MANY_CUSTOMERS))
    ),
    PopularPlace(name="all of these, one customer", shared=_ALL, customers=1),
    PopularPlace(name=f"all of these, {MANY_CUSTOMERS} customers", shared=_ALL, customers=MANY_CUSTOMERS),
)


def benchmark_look(
    *,
    rounds: int,
    sizes: Sequence[int] = SIZES,
    places: Sequence[PopularPlace] = PLACES,
    database_url: str | None = None,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Median milliseconds of CPU of a first look, and of linking an order, for each place and size.

    rounds: looks for each size, in turn. database_url: of a PostgreSQL server, on which each store is a
    database of its own that is dropped afterwards; None for SQLite. The CPU is this process's: of a
    PostgreSQL server's own, `look_ms` of the clock tells.
    """
    figures = []
    for done, place in enumerate(places):
        with TemporaryDirectory(prefix="bonitas-benchmark-") as folder:
            figures.append(_measured(place, rounds, sizes, database_url, Path(folder)))
        progress("looks", done=done + 1, total=len(places))
    return figures


def _measured(
    place: PopularPlace, rounds: int, sizes: Sequence[int], database_url: str | None, folder: Path
) -> dict[str, Any]:
    cpu_ms: dict[int, list[float]] = {size: [] for size in sizes}
    clock_ms: dict[int, list[float]] = {size: [] for size in sizes}
    link_ms: dict[int, float] = {}
    with _stores(sizes, database_url, folder) as stores:
        books = {size: PopularBook(store, place, size) for size, store in stores.items()}
        for size, book in books.items():
            began = time.process_time()
            book.link_orders()
            link_ms[size] = 1_000 * (time.process_time() - began) / size
        # The first ones prepare statements.
        for number in range(rounds + 2):
            for size, book in books.items():
                book.order_again()
                began, began_clock = time.process_time(), time.perf_counter()
                book.look()
                if number >= 2:
                    cpu_ms[size].append(1_000 * (time.process_time() - began))
                    clock_ms[size].append(1_000 * (time.perf_counter() - began_clock))
    few, many = min(sizes), max(sizes)
    return {
        "shared": place.name,
        **{f"look_cpu_ms_at_{size}": round(median(cpu_ms[size]), 2) for size in sizes},
        "ratio": round(median(cpu_ms[many]) / median(cpu_ms[few]), 2),
        **{f"look_ms_at_{size}": round(median(clock_ms[size]), 2) for size in sizes},
        "ratio_of_ms": round(median(clock_ms[many]) / median(clock_ms[few]), 2),
        "link_cpu_ms_an_order": round(link_ms[many], 2),
    }


@contextmanager
def _stores(sizes: Sequence[int], database_url: str | None, folder: Path) -> Iterator[dict[int, Store]]:
    stores: dict[int, Store] = {}
    names: list[str] = []
    try:
        for size in sizes:
            url = f"sqlite:///{folder / f'{size}.db'}"
            if database_url is not None:
                names.append(f"bonitas_benchmark_{secrets.token_hex(6)}")
                _at_server(database_url, f'CREATE DATABASE "{names[-1]}"')
                url = _url_of(database_url, names[-1])
            migrate(url)
            stores[size] = open_store(url)
        yield stores
    finally:
        for store in stores.values():
            store.close()
        for name in names:
            _at_server(database_url or "", f'DROP DATABASE IF EXISTS "{name}"')


def _at_server(database_url: str, statement: str) -> None:
    import psycopg  # noqa: PLC0415 - only where PostgreSQL is measured

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _url_of(database_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    server, _, options = database_url.partition("?")
    beginning, _, _ = server.rpartition("/")
    return f"{beginning}/{name}{'?' if options else ''}{options}"


class PopularBook:
    """A store in which orders share something, with a clock of its own."""

    def __init__(self, store: Store, place: PopularPlace, size: int) -> None:
        self.store = store
        self._place = place
        self._size = size
        self._made = 0
        self.now_ms = BEGINNING_MS
        model, policy = _model(), PolicyFile.read(None).policy
        self._scope = ScreeningScope(
            store=store, model=lambda: model, policy=policy, now_ms=lambda: self.now_ms
        )
        for start in range(0, size, ORDERS_PER_TRANSACTION):
            with store.writing("benchmark") as tx:
                for number in range(start, min(start + ORDERS_PER_TRANSACTION, size)):
                    # One a second: of ten thousand a third within the last hour.
                    self._order(tx, BEGINNING_MS - (size - number) * SECOND_MS, "declined")
        if isinstance(store, PostgresqlStore):
            with store.writing() as tx:
                tx.execute("ANALYZE")

    def link_orders(self) -> None:
        """As the worker does: of approved ones a look is asked for, too."""
        follow_decisions(self.store)

    def order_again(self) -> None:
        """One more order, approved and linked."""
        self.now_ms += 10
        with self.store.writing("benchmark") as tx:
            self._order(tx, self.now_ms - 5, "approved")
        self.link_orders()

    def look(self) -> None:
        """At all orders that wait for it. Raises RuntimeError where none did."""
        if work_off(self._scope) != 1:
            raise RuntimeError("a look at one order was to be measured")

    def _order(self, tx: Transaction, at_ms: int, outcome: str) -> None:
        number = self._made
        self._made += 1
        customers = self._place.customers
        customer = number if customers is None else number % customers
        if number == customer:
            _insert(tx, CUSTOMERS.name, _customer(customer))
        row = _order(number, customer, self._place.shared, at_ms)
        _insert(tx, ORDERS.name, row)
        append_decision(
            tx,
            LoggedDecision(
                decision_id=f"dec_{number}",
                order_id=row["order_id"],
                customer_id=row["customer_id"],
                merchant_id=row["merchant_id"],
                outcome=outcome,
                as_of_ms=at_ms,
                model_name=None,
                model_version=None,
                feature_set_version=None,
                policy_version="1",
                features=None,
                record={},
            ),
        )


def _insert(tx: Transaction, contract_name: str, row: dict[str, Any]) -> None:
    contract = ORDERS if contract_name == ORDERS.name else CUSTOMERS
    insert_event(tx, contract, row, content_sha256(contract, row), row["recorded_at"])


def _customer(number: int) -> dict[str, Any]:
    at_ms = BEGINNING_MS - 400 * DAY_MS
    return {
        "event_id": f"customer-{number}",
        "occurred_at": at_ms,
        "recorded_at": at_ms,
        "customer_id": f"c{number}",
        "registered_at": at_ms,
    }


def _order(number: int, customer: int, shared: frozenset[EntityKind], at_ms: int) -> dict[str, Any]:
    def own(kind: EntityKind) -> int:
        return 0 if kind in shared else number

    house = own(EntityKind.DELIVERY_ADDRESS)
    row: dict[str, Any] = {
        "event_id": f"order-dec_{number}",
        "occurred_at": at_ms,
        "recorded_at": at_ms,
        "order_id": f"o{number}",
        "customer_id": f"c{customer}",
        "merchant_id": f"m{own(EntityKind.MERCHANT)}",
        "amount_cents": 5_000 + number % 900,
        "vat_cents": 900,
        "currency": "EUR",
        "kind": "goods",
        "item_category": "clothing",
        "contact_email": f"erika{own(EntityKind.MAILBOX)}@shop{own(EntityKind.MAILBOX)}.example",
        "contact_phone": f"+49 30 {2_000_000 + own(EntityKind.PHONE)}",
        "device_id": f"device-{own(EntityKind.DEVICE):08}-a",
        "ip_address": "9.9.9.9" if EntityKind.IP_PREFIX in shared else _address(number),
    }
    for prefix in ("delivery", "billing"):
        row |= {
            f"{prefix}_name": "Erika Mustermann",
            f"{prefix}_street": "Heidestraße",
            f"{prefix}_house_number": str(house + 1),
            f"{prefix}_postal_code": "51147",
            f"{prefix}_city": "Köln",
            f"{prefix}_country": "DE",
        }
    return row


def _address(number: int) -> str:
    """Each number has a public network of its own."""
    return f"{11 + number // 65_536}.{number // 256 % 256}.{number % 256}.7"


def _model() -> ChampionModel:
    """One that says the same of every order: what is measured is what it is told."""
    return ChampionModel(
        name="order-risk",
        version="1",
        feature_set=ORDER_RISK,
        feature_set_name=ORDER_RISK.name,
        feature_set_version=ORDER_RISK.version,
        columns=columns_of(ORDER_RISK.features),
        raw_model=Scorecard(
            intercept=-5.0,
            features=tuple(
                ScorecardFeature(cut_points=(), step_weights=(), missing_weight=0.0, mean_contribution=0.0)
                for _ in ORDER_RISK.names
            ),
        ),
        calibration=Calibration(raw_log_odds=(-9.0, 9.0), log_odds=(-9.0, 9.0)),
        scale=ScoreScale(),
        typical_values=dict.fromkeys(ORDER_RISK.names, 0.0),
    )
