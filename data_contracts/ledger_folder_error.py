"""What every fault of a ledger folder is, for whoever tells the user; it needs no heavy import."""


class LedgerFolderError(Exception):
    """A ledger folder cannot be used as it is; the message names what is wrong and what to do."""
