"""What can go wrong with the store."""


class StoreError(Exception):
    """The root of the store's errors."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, read or written right now; of the transaction nothing was kept."""


class StoreBusy(StoreUnavailable):
    """Another process or transaction holds a lock; the same again may succeed once it has gone."""


class StoreLost(StoreUnavailable):
    """The file of the store is gone, or another one lies in its place: what is open is not the store."""


class CommitUnknown(StoreError):
    """The connection broke during a commit: nobody can say whether the transaction was kept."""


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
