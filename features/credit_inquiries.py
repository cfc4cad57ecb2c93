"""Credit inquiries: who asked a bureau about the customer, negative when frequent and for a while only.

An inquiry older than the longest window (365 days) changes nothing, and "days since the last
inquiry" is left to the windows, so that no feature switches between missing and a value.
"""

from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window


def _feature(name: str, description: str, numerator: Measure) -> Feature:
    return Feature(
        name=name,
        description=description,
        group=FeatureGroup.CREDIT_INQUIRIES,
        unit="count",
        direction=Direction.HIGHER_IS_WORSE,
        reason_code="many_credit_inquiries",
        missing_means="0: no inquiry",
        numerator=numerator,
    )


CREDIT_INQUIRY_FEATURES: tuple[Feature, ...] = (
    *(
        _feature(
            f"credit_inquiry_count_{days}d",
            f"inquiries in the last {days} days",
            in_window(FactKind.INQUIRY, "occurred_at", days),
        )
        for days in (30, 90, 180, 365)
    ),
    *(
        _feature(
            f"credit_seeking_inquiry_count_{days}d",
            f"inquiries for cards, loans and instalments in the last {days} days",
            in_window(FactKind.INQUIRY, "occurred_at", days, value="seeks_credit"),
        )
        for days in (365,)
    ),
)
