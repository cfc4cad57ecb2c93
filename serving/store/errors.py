"""What can go wrong with the store."""


class StoreError(Exception):
    """The root of the store's errors."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, read or written right now."""


class TooManyAccountsOfOnePerson(StoreUnavailable):
    """What is known of a person cannot be read, because far too many accounts would be theirs."""


class StoreNotMigrated(StoreError):
    """The database's tables are older or newer than this code; the message says what to do."""


class ApiKeyError(StoreError):
    """An API key cannot be created or revoked as asked."""


class PolicyVersionReused(StoreError):
    """A policy's text changed but its version did not."""


class ReservationConflict(StoreError):
    """An order's reservation belongs to another customer or has ended."""
