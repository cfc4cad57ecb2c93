"""The signed link to the merchant's form for one stop request.

Whoever has the link may answer; the token in it says which request, and until when.
"""

import base64
import hashlib
import hmac
import re

from data_contracts.instants import DAY_MS
from serving.domain.errors import RiskError
from serving.requests.case_scope import CaseScope
from serving.store.stop_requests import known_signing_key, signing_key
from serving.store.store import Transaction

LINK_KEY = "stop_request_link"

_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,400})\.([A-Za-z0-9_-]{43})")


class LinkInvalid(RiskError):
    """The link to the form was not made by us, or was altered."""


class LinkExpired(RiskError):
    """The link to the form is too old; the merchant needs a new one."""


def link_token(tx: Transaction, scope: CaseScope, stop_request_id: str) -> str:
    """A token for a link to the form: signed, url-safe, good for the policy's `link_days`.

    tx: a writing transaction, since the first token makes the key.
    """
    expires_at_ms = scope.now_ms() + scope.policy.stop_requests.link_days * DAY_MS
    return signed_token(tx, scope, LINK_KEY, stop_request_id, expires_at_ms)


def read_token(scope: CaseScope, token: str) -> str:
    """The id of the stop request that a link is about. Raises LinkInvalid, LinkExpired."""
    return read_signed_token(scope, LINK_KEY, token)


def signed_token(
    tx: Transaction, scope: CaseScope, key_name: str, subject_id: str, expires_at_ms: int
) -> str:
    """A signed, url-safe token that names one thing. key_name: of the key that signs this kind of thing.

    tx: a writing transaction, since the first token makes the key.
    """
    payload = _base64(f"{subject_id}.{expires_at_ms}".encode())
    return f"{payload}.{_signature(signing_key(tx, key_name, scope.now_ms()), payload)}"


def read_signed_token(scope: CaseScope, key_name: str, token: str) -> str:
    """The thing that a token names. Raises LinkInvalid, LinkExpired."""
    with scope.store.reading() as tx:
        key = known_signing_key(tx, key_name)
    parts = _TOKEN.fullmatch(token)
    if key is None or parts is None or not hmac.compare_digest(parts[2], _signature(key, parts[1])):
        raise LinkInvalid("this link is not one of ours")
    payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)).decode()
    subject_id, _, expires_at_ms = payload.rpartition(".")
    if scope.now_ms() >= int(expires_at_ms):
        raise LinkExpired("this link has expired")
    return subject_id


def link(tx: Transaction, scope: CaseScope, stop_request_id: str) -> str:
    """The address of the merchant's form for one stop request. tx: a writing transaction."""
    return f"{scope.public_url}/stop/{link_token(tx, scope, stop_request_id)}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _signature(key: bytes, payload: str) -> str:
    return _base64(hmac.new(key, payload.encode(), hashlib.sha256).digest())
