"""The policies under which decisions were made, kept whole, so that any decision can be recomputed."""

import hashlib

from serving.store.errors import PolicyVersionReused
from serving.store.store import Store, Transaction


def keep_policy(store: Store, *, version: str, content: str, now_ms: int) -> None:
    """Keep a policy before the first decision under it.

    Raises PolicyVersionReused if another text is kept under this version.
    """
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    with store.writing(f"policy-{version}") as tx:
        rows = tx.execute("SELECT sha256 FROM policies WHERE version = ?", (version,))
        if not rows:
            tx.execute(
                "INSERT INTO policies (version, sha256, content, first_used_at_ms) VALUES (?, ?, ?, ?)",
                (version, sha256, content, now_ms),
            )
        elif rows[0][0] != sha256:
            raise PolicyVersionReused(
                f"policy {version} was used before with another text: give the changed one its own version"
            )


def policy_text(tx: Transaction, version: str) -> str | None:
    """The policy file of a version, None if no decision was made under it."""
    rows = tx.execute("SELECT content FROM policies WHERE version = ?", (version,))
    return str(rows[0][0]) if rows else None
