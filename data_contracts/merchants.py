"""Merchants: where to reach them, in which language, and when their orders leave."""

from data_contracts.contract import (
    COUNTRY_PART_PATTERN,
    MAILBOX_PATTERN,
    Column,
    ColumnType,
    Contract,
    WithinCountry,
    country,
    identifier,
)

MERCHANTS = Contract(
    name="merchants",
    description="The state of a merchant's account as of `occurred_at`; the one that began last stands.",
    occurred_at_description="when this state of the account began",
    key=("merchant_id",),
    entity="merchant_id",
    rows_are_states=True,
    own_columns=(
        identifier("merchant_id", "the merchant"),
        Column(name="name", type=ColumnType.STRING, description="trading name"),
        country("country", "country of the merchant, ISO 3166-1 alpha-2"),
        Column(
            name="holiday_region",
            type=ColumnType.STRING,
            description=(
                "the part of the country whose public holidays are no business days of the merchant's, "
                "ISO 3166-2 such as DE-BY: what it has to answer by is counted in business days"
            ),
            nullable=True,
            missing_means="the holidays of the whole country alone",
            pattern=COUNTRY_PART_PATTERN,
            pattern_in_words="a part of a country by ISO 3166-2, such as DE-BY",
            max_length=6,
        ),
        Column(
            name="language",
            type=ColumnType.STRING,
            description="language of texts to the merchant",
            allowed=("da", "de", "en", "nl", "sv"),
        ),
        Column(
            name="email",
            type=ColumnType.STRING,
            description="contact for requests that the endpoint does not take",
            pattern=MAILBOX_PATTERN,
        ),
        Column(
            name="endpoint_url",
            type=ColumnType.STRING,
            description="HTTPS address that takes webhooks",
            nullable=True,
            missing_means="the merchant is reached by e-mail only",
            pattern=r"https?://[^\s]+",
            max_length=500,
        ),
        Column(
            name="has_portal_account",
            type=ColumnType.BOOL,
            description="whether the merchant is told of disputes in the portal",
        ),
        Column(
            name="category",
            type=ColumnType.STRING,
            description="what the merchant mainly sells",
            allowed=(
                "electronics",
                "fashion",
                "groceries",
                "health_beauty",
                "home_garden",
                "digital_goods",
                "tickets_travel",
                "toys_sports",
            ),
        ),
        Column(
            name="handover_cutoff_local_time",
            type=ColumnType.STRING,
            description="local time of day at which the day's parcels are handed to the carrier, HH:MM",
            pattern=r"([01][0-9]|2[0-3]):[0-5][0-9]",
            max_length=5,
        ),
    ),
    own_row_rules=(WithinCountry(column="holiday_region", country="country"),),
)
