"""An order that nothing is wrong with, for tests of the rules that refuse one."""

from serving.domain.decision import Address, Order

ADDRESS = Address(
    name="Erika Mustermann",
    street="Heidestraße",
    house_number="17",
    postal_code="51147",
    city="Köln",
    country="DE",
)
ORDER = Order(
    order_id="o1",
    customer_id="c1",
    merchant_id="m1",
    amount_cents=10_000,
    currency="EUR",
    delivery=ADDRESS,
    billing=ADDRESS,
    contact_email="erika@example.com",
    contact_phone="+49 30 1234567",
)
