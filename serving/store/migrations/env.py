"""Alembic's entry: runs the migrations on the connection that `serving.store.migrate` passes in."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import context

from serving.store.schema_revisions import OLDEST_CODE_TABLE, SCHEMA_TABLE, oldest_code_for
from serving.store.tables import metadata

connection: sa.Connection = context.config.attributes["connection"]


def _only_row(table: str) -> str | None:
    row = connection.execute(sa.text(f"SELECT version_num FROM {table}")).first()  # noqa: S608 - a constant
    return None if row is None else str(row[0])


def _set_only_row(table: str, value: str | None) -> None:
    connection.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608 - a constant
    if value is not None:
        connection.execute(sa.text(f"INSERT INTO {table} VALUES (:value)"), {"value": value})  # noqa: S608 - as above


def _begin_in_two_tables() -> None:
    """A store of revision 0010 or before has Alembic's own table under the name of the other."""
    for table in (OLDEST_CODE_TABLE, SCHEMA_TABLE):
        connection.execute(
            sa.text(f"CREATE TABLE IF NOT EXISTS {table} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
    oldest, schema = _only_row(OLDEST_CODE_TABLE), _only_row(SCHEMA_TABLE)
    # Code of revision 0010 may have gone on from an older one, which it knows under that name alone.
    if oldest is not None and (schema is None or schema < oldest):
        _set_only_row(SCHEMA_TABLE, oldest)


def _say_which_code_may_work_here(
    ctx: Any,
    step: Any,
    heads: Collection[Any],
    run_args: Mapping[str, Any],  # noqa: ARG001 - Alembic names it
) -> None:
    reached = next(iter(heads), None)
    oldest = None if reached is None else oldest_code_for(ctx.script.get_revision(reached))
    if step.is_upgrade:
        # A sandbox asks for later code than its tables do.
        oldest = max(oldest or "", _only_row(OLDEST_CODE_TABLE) or "")
    _set_only_row(OLDEST_CODE_TABLE, oldest)


_begin_in_two_tables()
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=SCHEMA_TABLE,
    on_version_apply=_say_which_code_may_work_here,
)
with context.begin_transaction():
    context.run_migrations()
