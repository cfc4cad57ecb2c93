"""A confirmed order o1 of customer c1 over 200.00, and what is sent about it after checkout."""

from dataclasses import dataclass
from typing import Any

from serving.checkout.order_credit import CreditAnswer, CreditBody, OrderCredit, credit
from serving.checkout.order_shipment import ShippedAnswer, ship
from serving.checkout.order_steps import take_step
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep
from serving.requests.typed_fields import typed_fields_of
from serving.store.api_keys import Caller, Role
from serving.store.ledger_rows import decode_row
from serving.store.order_invoices import OrderInvoice, invoices_of_order
from serving.store.store import Store
from tests.builders import Row, a_payment, an_invoice
from tests.serving.shadow_desk import CALLER, ShadowDesk, a_shadow_desk

ADDRESS = OrderAddress(name="o1", merchant_id=None)
MERCHANT = Caller(name="m-one", role=Role.MERCHANT, merchant_id="m1")


@dataclass
class FulfilledOrder:
    """The clock stands still until told; each request comes a second after the one before."""

    desk: ShadowDesk

    def step(self, step: OrderStep, *, of: OrderAddress = ADDRESS) -> None:
        self.desk.now += 1_000
        take_step(self.desk.scope(), of, step, caller=CALLER, idempotency_key=None)

    def ship(
        self, *, caller: Caller = CALLER, key: str | None = None, to: OrderAddress = ADDRESS, **body: Any
    ) -> ShippedAnswer:
        self.desk.now += 1_000
        return ship(self.desk.scope(), to, body, caller=caller, idempotency_key=key)

    def credited(
        self, *, caller: Caller = CALLER, key: str | None = None, to: OrderAddress = ADDRESS, **body: Any
    ) -> CreditAnswer:
        self.desk.now += 1_000
        given = typed_fields_of({"reason": "return", **body}, CreditBody)
        return credit(self.desk.scope(), to, given, caller=caller, idempotency_key=key)

    def credit(self, **body: Any) -> OrderCredit:
        answer = self.credited(**body)
        assert isinstance(answer, OrderCredit)
        return answer

    def invoice(self, cents: int, number: int = 1, **more: Any) -> None:
        self.desk.now += 1_000
        row = an_invoice(
            f"i{number}", **{"at": self.desk.now, "amount_cents": cents, "order_id": "o1", **more}
        )
        self.desk.row("invoices", row)

    def pay(self, cents: int, number: int = 1) -> None:
        self.desk.now += 1_000
        self.desk.row("invoice_payments", a_payment(f"i{number}", at=self.desk.now, amount_cents=cents))

    def invoices(self) -> list[OrderInvoice]:
        with self.desk.store.reading() as tx:
            return invoices_of_order(tx, "c1", "o1", self.desk.policy.settlement_terms)

    def owed_cents(self) -> list[int]:
        return [invoice.state.outstanding_cents for invoice in self.invoices()]

    def rows(self, contract: str) -> list[Row]:
        with self.desk.store.reading() as tx:
            found = tx.execute(
                "SELECT body FROM ledger_events WHERE contract = ? ORDER BY recorded_at_ms, event_id",
                (contract,),
            )
        return [decode_row(body) for (body,) in found]


def a_fulfilled_order(store: Store, database_url: str) -> FulfilledOrder:
    desk = a_shadow_desk(store, database_url)
    desk.customer("c1")
    desk.decide("o1", "c1", amount_cents=20_000, vat_cents=3_193)
    order = FulfilledOrder(desk)
    order.step(OrderStep.CONFIRMED)
    return order
