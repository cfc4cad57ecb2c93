"""Customers: personal data and the state of each verification, one row per change."""

from data_contracts.contract import (
    COUNTRY_PATTERN,
    EMAIL_PATTERN,
    Column,
    ColumnType,
    Contract,
    NotBefore,
    NotBeforeDate,
    PassedDate,
    identifier,
)

CUSTOMERS = Contract(
    name="customers",
    description=(
        "The state of a customer's account as of `occurred_at`: personal data, residence and verifications. "
        "Of several states, the one that began last stands, whenever it arrived."
    ),
    occurred_at_description="when this state of the account began",
    key=("customer_id",),
    rows_are_states=True,
    own_columns=(
        identifier("customer_id", "the customer"),
        Column(
            name="registered_at",
            type=ColumnType.TIMESTAMP,
            description="when the account with the provider was opened",
            unit="UTC, milliseconds",
            past=True,
        ),
        Column(
            name="given_name",
            type=ColumnType.STRING,
            description="given names",
            personal=True,
            free_blanks=True,
        ),
        Column(
            name="family_name",
            type=ColumnType.STRING,
            description="family name",
            personal=True,
            free_blanks=True,
        ),
        Column(
            name="birth_date",
            type=ColumnType.DATE,
            description="date of birth; serves the age rule alone, never a feature",
            personal=True,
        ),
        Column(
            name="email",
            type=ColumnType.STRING,
            description="e-mail address",
            pattern=EMAIL_PATTERN,
            personal=True,
        ),
        Column(
            name="phone",
            type=ColumnType.STRING,
            description="telephone number in international form",
            pattern=r"\+[1-9][0-9 ]{5,18}",
            max_length=20,
            personal=True,
        ),
        Column(
            name="residence_street",
            type=ColumnType.STRING,
            description="street",
            personal=True,
            free_blanks=True,
        ),
        Column(
            name="residence_house_number",
            type=ColumnType.STRING,
            description="house number",
            max_length=20,
            personal=True,
            free_blanks=True,
        ),
        Column(
            name="residence_postal_code",
            type=ColumnType.STRING,
            description="postal code; never a credit feature",
            max_length=12,
            personal=True,
            free_blanks=True,
        ),
        Column(
            name="residence_city", type=ColumnType.STRING, description="city", personal=True, free_blanks=True
        ),
        Column(
            name="residence_country",
            type=ColumnType.STRING,
            description="country of residence, ISO 3166-1 alpha-2: its local date counts for ages",
            nullable=True,
            missing_means="no fixed residence is known",
            pattern=COUNTRY_PATTERN,
            max_length=2,
        ),
        Column(
            name="language",
            type=ColumnType.STRING,
            description="language of texts to the customer",
            allowed=("da", "de", "en", "fi", "fr", "nb", "nl", "sv"),
        ),
        Column(
            name="identity_status",
            type=ColumnType.STRING,
            description="state of the identity check",
            allowed=("unverified", "pending", "verified"),
        ),
        Column(
            name="identity_document_expires_on",
            type=ColumnType.DATE,
            description="last day on which the checked identity document is valid",
            nullable=True,
            missing_means="no document was checked",
        ),
        Column(
            name="identity_document_hmac",
            type=ColumnType.STRING,
            description=(
                "keyed HMAC-SHA-256 of the number of the identity document, as 64 hex digits, made by the "
                "sender under a key of its own: two accounts with the same one are one person's, who shares "
                "arrears and limit; two with different ones are two people's; never a feature"
            ),
            nullable=True,
            missing_means=(
                "the sender does not pass it on: name, birth date and residence say whose account it is"
            ),
            pattern=r"[0-9a-fA-F]{64}",
            max_length=64,
            personal=True,
        ),
        Column(
            name="email_confirmed_at",
            type=ColumnType.TIMESTAMP,
            description="when the e-mail address was confirmed",
            unit="UTC, milliseconds",
            past=True,
            nullable=True,
            missing_means="not confirmed",
        ),
        Column(
            name="phone_confirmed_at",
            type=ColumnType.TIMESTAMP,
            description="when the telephone number was confirmed",
            unit="UTC, milliseconds",
            past=True,
            nullable=True,
            missing_means="not confirmed",
        ),
        Column(
            name="personal_data_confirmed_at",
            type=ColumnType.TIMESTAMP,
            description="when the customer last confirmed that the personal data are current",
            unit="UTC, milliseconds",
            past=True,
            nullable=True,
            missing_means="never confirmed",
        ),
    ),
    own_row_rules=(
        PassedDate(column="birth_date"),
        PassedDate(column="birth_date", by="registered_at"),
        NotBeforeDate(later="identity_document_expires_on", earlier="birth_date"),
        NotBefore(later="occurred_at", earlier="registered_at", moves=False),
        # A confirmation may be later than the state: who confirms what is known already begins none.
        *(
            NotBefore(later=confirmed_at, earlier="registered_at", moves=False)
            for confirmed_at in ("email_confirmed_at", "phone_confirmed_at", "personal_data_confirmed_at")
        ),
    ),
)
