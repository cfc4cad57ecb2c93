"""The signed link to the merchant's form for one dispute: whoever has it may answer, until it expires."""

from data_contracts.instants import DAY_MS
from serving.requests.case_scope import CaseScope
from serving.stop_requests.form_link import read_signed_token, signed_token
from serving.store.store import Transaction

DISPUTE_LINK_KEY = "dispute_link"
"""A key of its own: a link about a stop request opens no dispute, and the other way round."""


def dispute_link(tx: Transaction, scope: CaseScope, dispute_id: str) -> str:
    """The address of the merchant's form for one dispute. tx: a writing transaction."""
    expires_at_ms = scope.now_ms() + scope.policy.stop_requests.link_days * DAY_MS
    token = signed_token(tx, scope, DISPUTE_LINK_KEY, dispute_id, expires_at_ms)
    return f"{scope.public_url}/dispute/{token}"


def read_dispute_token(scope: CaseScope, token: str) -> str:
    """The id of the dispute that a link is about. Raises LinkInvalid, LinkExpired."""
    return read_signed_token(scope, DISPUTE_LINK_KEY, token)
