"""Features of what an order shares with others: how many, how fast, whose, and confirmed fraud among them."""

from features.declarations import (
    FRAUD_FACT_OF,
    ORDER_FACT_OF,
    Direction,
    Feature,
    FeatureGroup,
    Measure,
    Purpose,
    in_window,
)
from features.entities import LINKING, EntityKind

_NAMES = {
    EntityKind.CUSTOMER: "own",
    EntityKind.DEVICE: "device",
    EntityKind.DELIVERY_ADDRESS: "address",
    EntityKind.MAILBOX: "mailbox",
    EntityKind.PHONE: "phone",
    EntityKind.EMAIL_DOMAIN: "email_domain",
    EntityKind.IP_PREFIX: "ip_prefix",
    EntityKind.MERCHANT: "merchant",
}
_HOURS = {
    EntityKind.DEVICE: (1, 24, 24 * 7, 24 * 30),
    EntityKind.DELIVERY_ADDRESS: (24, 24 * 7, 24 * 30),
    EntityKind.MAILBOX: (24 * 7,),
    EntityKind.PHONE: (24 * 7,),
    EntityKind.IP_PREFIX: (1, 24, 24 * 7),
    EntityKind.EMAIL_DOMAIN: (1,),
    EntityKind.MERCHANT: (1, 24),
}
_FRAUD_DAYS = {
    EntityKind.CUSTOMER: 365,
    EntityKind.DEVICE: 365,
    EntityKind.DELIVERY_ADDRESS: 365,
    EntityKind.MAILBOX: 365,
    EntityKind.PHONE: 365,
    EntityKind.IP_PREFIX: 90,
    EntityKind.EMAIL_DOMAIN: 30,
    EntityKind.MERCHANT: 90,
}


def _window(hours: int) -> str:
    return f"{hours}h" if hours < 24 else f"{hours // 24}d"


def _velocity(entity: EntityKind, hours: int) -> Feature:
    return Feature(
        name=f"{_NAMES[entity]}_order_count_{_window(hours)}",
        description=f"orders in {_window(hours)} with the same {entity.value}, this one too",
        group=FeatureGroup.VELOCITY,
        unit="count",
        purpose=Purpose.FRAUD,
        direction=Direction.NONE,
        reason_code=f"many_orders_same_{entity.value}",
        missing_means=f"0: the order names no {entity.value}",
        numerator=in_window(ORDER_FACT_OF[entity], "occurred_at", 0, window_hours=hours),
    )


def _sharing(entity: EntityKind, window_days: int | None) -> Feature:
    column = "is_first_of_customer"
    fact = ORDER_FACT_OF[entity]
    window = "ever" if window_days is None else f"{window_days}d"
    return Feature(
        name=f"{_NAMES[entity]}_customer_count_{window}",
        description=f"customers first seen in the window with the same {entity.value}, this one too",
        group=FeatureGroup.VELOCITY,
        unit="count",
        purpose=Purpose.FRAUD,
        direction=Direction.NONE,
        reason_code=f"shared_{entity.value}",
        missing_means=f"0: the order names no {entity.value}",
        numerator=(
            Measure(fact=fact, value=column)
            if window_days is None
            else in_window(fact, "occurred_at", window_days, value=column)
        ),
    )


def _confirmed(entity: EntityKind, window_days: int) -> Feature:
    return Feature(
        name=f"{_NAMES[entity]}_fraud_finding_count_{window_days}d",
        description=f"findings of fraud in {window_days} days about orders with the same {entity.value}",
        group=FeatureGroup.CONFIRMED_FRAUD,
        unit="count",
        purpose=Purpose.FRAUD,
        direction=Direction.HIGHER_IS_WORSE,
        reason_code=f"fraud_same_{entity.value}",
        missing_means="0: none is known",
        numerator=in_window(FRAUD_FACT_OF[entity], "occurred_at", window_days),
    )


VELOCITY_FEATURES: tuple[Feature, ...] = (
    *(_velocity(entity, hours) for entity, windows in _HOURS.items() for hours in windows),
    *(_sharing(entity, days) for entity in LINKING for days in (30, None)),
)

CONFIRMED_FRAUD_FEATURES: tuple[Feature, ...] = tuple(
    _confirmed(entity, days) for entity, days in _FRAUD_DAYS.items()
)
