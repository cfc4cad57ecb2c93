"""Which code may work on which store: what a store says of its tables, and what this code asks for.

A migration that only adds (it expands) lets code of before go on; one that takes away (it contracts) does
not. The store carries the oldest code that may work on it, so that code which knows nothing of a newer
migration can still tell: it asks for no more than that it is not older than this.
"""

from dataclasses import dataclass
from typing import Any

from serving.store.errors import StoreNotMigrated, StoreUnavailable
from serving.store.store import Store, Transaction

SCHEMA_TABLE = "schema_revision"
"""Alembic's own table: the last migration that was carried out. Stores up to revision 0010 have none."""
OLDEST_CODE_TABLE = "alembic_version"
"""The oldest code that may work on the store. Code of revision 0010 asks this table for its own revision, so
that it goes on, and can be started, until a migration takes something away."""
BEFORE_TWO_STEPS = "0010"
"""Up to this revision every migration asks for code of its own revision, and no process registers."""


@dataclass(frozen=True, kw_only=True)
class StoreRevisions:
    """What a store says. schema: of its tables. works_with_code_since: the oldest code that may work on it.

    Revisions are four digits; a later one is greater as text.
    """

    schema: str
    works_with_code_since: str

    @classmethod
    def said(cls, *, oldest: str, schema: str | None) -> "StoreRevisions":
        """By the rows of both tables; code of revision 0010 knows one of them and may have moved it."""
        return cls(schema=max(oldest, schema or oldest), works_with_code_since=oldest)


@dataclass(frozen=True, kw_only=True)
class CodeRevisions:
    """What code says. own: the last migration that it comes with. needs: the one that it cannot do without.

    They differ where the last migration contracts: this code then works before and after it.
    """

    own: str
    needs: str


THIS_CODE = CodeRevisions(own="0023", needs="0023")


def why_not_usable(store: StoreRevisions, code: CodeRevisions = THIS_CODE) -> str | None:
    """Why code may not work on a store, with what to do; None where it may.

    >>> why_not_usable(StoreRevisions(schema="9001", works_with_code_since="0010")) is None
    True
    >>> print(why_not_usable(StoreRevisions(schema="9002", works_with_code_since="9001")))
    the store (revision 9002) needs code since revision 9001, this code is of 0023: start a newer release
    """
    if store.schema < code.needs:
        return f"the store is at revision {store.schema}, this code needs {code.needs}: run `bonitas migrate`"
    if store.schema > code.own and store.works_with_code_since > code.own:
        return (
            f"the store (revision {store.schema}) needs code since revision "
            f"{store.works_with_code_since}, this code is of {code.own}: start a newer release"
        )
    return None


def revisions_of(store: Store) -> StoreRevisions | None:
    """What a store says; None where it has no tables. Raises StoreUnavailable."""
    oldest = _only_row(store, OLDEST_CODE_TABLE)
    if oldest is None:
        return None
    schema = _only_row(store, SCHEMA_TABLE)
    return StoreRevisions.said(oldest=oldest, schema=schema)


def require_usable(tx: Transaction, code: CodeRevisions = THIS_CODE) -> None:
    """Of a store that was opened: raise StoreNotMigrated once a migration has taken away what code needs."""
    ((schema, oldest),) = tx.execute(
        f"SELECT s.version_num, o.version_num FROM {SCHEMA_TABLE} AS s, {OLDEST_CODE_TABLE} AS o"  # noqa: S608 - constants
    )
    problem = why_not_usable(StoreRevisions(schema=schema, works_with_code_since=oldest), code)
    if problem is not None:
        raise StoreNotMigrated(problem)


def oldest_code_for(migration: Any) -> str:
    """The oldest code that may work on a store after a migration, a revision of Alembic's."""
    return str(getattr(migration.module, "works_with_code_since", migration.revision))


def _only_row(store: Store, table: str) -> str | None:
    try:
        # One transaction for each: on PostgreSQL the first question that fails ends it.
        with store.reading() as tx:
            rows = tx.execute(f"SELECT version_num FROM {table}")  # noqa: S608 - a constant
    except StoreUnavailable as problem:
        if table in str(problem):
            return None
        raise
    return str(rows[0][0]) if rows else None
