"""Features of the order itself, of the customer's own past, and of what happened since approval."""

from data_contracts.instants import DAY_MS
from features.declarations import (
    Direction,
    FactKind,
    Feature,
    FeatureGroup,
    Measure,
    Purpose,
    in_window,
)

NO_DIRECTION = Direction.NONE


def _own(name: str, description: str, column: str, unit: str = "flag") -> Feature:
    return Feature(
        name=name,
        description=description,
        group=FeatureGroup.ORDER_CONTEXT,
        unit=unit,
        purpose=Purpose.FRAUD,
        direction=NO_DIRECTION,
        reason_code=f"order_{column}",
        missing_means="never missing: it is the order's own",
        numerator=Measure(fact=FactKind.THIS_ORDER, value=column),
    )


ORDER_CONTEXT_FEATURES: tuple[Feature, ...] = (
    _own("order_amount_cents_last", "total of the order, as amended by then", "amount_cents", "cents"),
    _own("order_hour_utc_last", "hour of the day of the order, UTC", "hour_utc", "hours"),
    _own("order_night_flag_last", "ordered between midnight and five, UTC", "night"),
    _own("order_resellable_flag_last", "goods that sell again easily", "resellable"),
    _own("order_service_flag_last", "a service, not goods", "service"),
    _own("order_computers_phones_flag_last", "computers or telephones", "computers_phones"),
    _own("order_gift_cards_flag_last", "gift cards", "gift_cards"),
    _own("order_jewellery_flag_last", "jewellery", "jewellery"),
    _own("order_media_software_flag_last", "media or software", "media_software"),
    _own("order_address_differs_flag_last", "delivered elsewhere than billed", "address_differs"),
    _own("order_recipient_differs_flag_last", "delivered to another name than billed", "recipient_differs"),
    _own("order_device_missing_flag_last", "the checkout did not identify the device", "device_missing"),
    _own("order_phone_missing_flag_last", "no telephone number was given", "phone_missing"),
)


def _past(name: str, description: str, numerator: Measure, **changes: object) -> Feature:
    given: dict[str, object] = {
        "name": name,
        "description": description,
        "group": FeatureGroup.ORDER_HISTORY,
        "unit": "count",
        "purpose": Purpose.FRAUD,
        "direction": NO_DIRECTION,
        "reason_code": "order_unlike_own_past",
        "missing_means": "0: the customer never ordered, or not in the window",
        "numerator": numerator,
    }
    return Feature(**{**given, **changes})  # type: ignore[arg-type]  # the keys are Feature's own


def _orders(window_days: int, value: str | None = None) -> Measure:
    return in_window(FactKind.ORDER_OF_CUSTOMER, "occurred_at", window_days, value=value)


_FIRST_ON = (
    ("device", FactKind.ORDER_OF_CUSTOMER_ON_DEVICE, "new_device"),
    ("address", FactKind.ORDER_OF_CUSTOMER_TO_ADDRESS, "new_address"),
)

ORDER_HISTORY_FEATURES: tuple[Feature, ...] = (
    *(
        _past(f"own_order_count_{days}d", f"own orders in {days} days, this one too", _orders(days))
        for days in (1, 7, 30, 365)
    ),
    *(
        _past(
            f"own_order_cents_sum_{days}d",
            f"total of the customer's orders in {days} days, this one too",
            _orders(days, "amount_cents"),
            unit="cents",
        )
        for days in (1, 7, 365)
    ),
    _past(
        "own_order_amount_ratio_365d",
        "this order's share of the total of the customer's orders in 365 days",
        Measure(fact=FactKind.THIS_ORDER, value="amount_cents"),
        denominator=_orders(365, "amount_cents"),
        unit="ratio",
        when_empty=1.0,
    ),
    _past(
        "own_night_order_ratio_365d",
        "share of the customer's orders in 365 days that came at night",
        _orders(365, "night"),
        denominator=_orders(365),
        unit="ratio",
    ),
    _past(
        "own_resellable_order_ratio_365d",
        "share of the customer's orders in 365 days over goods that sell again easily",
        _orders(365, "resellable"),
        denominator=_orders(365),
        unit="ratio",
    ),
    *(
        feature
        for entity, kind, reason in _FIRST_ON
        for feature in (
            _past(
                f"own_order_count_on_{entity}_ever",
                f"the customer's orders with this {entity}, this one too: 1 at its first use",
                Measure(fact=kind),
                reason_code=reason,
            ),
            _past(
                f"own_{entity}_age_days",
                f"since when the customer orders with this {entity}",
                Measure(
                    fact=kind,
                    value="minus_occurred_at",
                    runs="is_first_of_customer",
                    above_column="is_first_of_customer",
                ),
                unit="days",
                scale=DAY_MS,
                reason_code=reason,
                missing_means=f"0: the order names no {entity}",
            ),
        )
    ),
    _past(
        "customer_age_days",
        "age of the customer's account with the provider",
        Measure(fact=FactKind.REGISTRATION, value="minus_registered_at", runs="one"),
        unit="days",
        scale=DAY_MS,
        reason_code="fresh_account",
        missing_means="0: the customer is not known",
    ),
)


def _since(name: str, description: str, column: str) -> Feature:
    return Feature(
        name=name,
        description=description,
        group=FeatureGroup.AFTER_APPROVAL,
        unit="count",
        purpose=Purpose.FRAUD,
        direction=NO_DIRECTION,
        reason_code=f"order_{column}",
        missing_means="0: nothing of the kind happened",
        numerator=Measure(fact=FactKind.ORDER_CHANGE, value=column),
    )


AFTER_APPROVAL_FEATURES: tuple[Feature, ...] = (
    _since("address_change_count_ever", "changes of the delivery address since the order", "address_changed"),
    _since("redirect_count_ever", "redirections of the parcel since the order", "redirected"),
    _since("shipment_booked_count_ever", "bookings of a shipment since the order", "booked"),
)
