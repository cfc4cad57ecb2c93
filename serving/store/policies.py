"""The policies under which decisions were made, kept whole, so that any decision can be recomputed."""

from serving.domain.policy_history import text_sha256
from serving.store.errors import PolicyVersionReused
from serving.store.store import Transaction


def keep_policy(tx: Transaction, *, version: str, content: str, now_ms: int) -> None:
    """Keep a policy before it is put in force, and so before the first decision under it.

    Raises PolicyVersionReused if another text is kept under this version.
    """
    sha256 = text_sha256(content)
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
    """The policy file of a version, None if it was never in force."""
    rows = tx.execute("SELECT content FROM policies WHERE version = ?", (version,))
    return str(rows[0][0]) if rows else None


def policy_sha256s(tx: Transaction) -> dict[str, str]:
    """The SHA-256 of every text that is kept, computed from the text, by version."""
    rows = tx.execute("SELECT version, content FROM policies")
    return {str(version): text_sha256(str(content)) for version, content in rows}
