"""Bring a database's tables to the revision that this code needs, with Alembic."""

from pathlib import Path
from typing import Any

from data_contracts.private_files import private_file
from serving.store.errors import StoreNotMigrated, StoreUnavailable

HEAD_REVISION = "0011"
_MIGRATIONS = Path(__file__).parent / "migrations"


def sqlalchemy_url(database_url: str) -> str:
    """The URL as SQLAlchemy wants it: PostgreSQL through psycopg 3."""
    return database_url.replace("postgresql://", "postgresql+psycopg://", 1)


def migrate(database_url: str) -> str:
    """Create or upgrade the tables; harmless when they are up to date. Returns the revision.

    Raises StoreUnavailable if the database cannot be reached or is none, StoreNotMigrated if it is newer
    than this code.
    """
    # SQLAlchemy and Alembic take a second to import, and the service does without them.
    from alembic import command, util  # noqa: PLC0415 - see above
    from sqlalchemy import create_engine, exc  # noqa: PLC0415 - see above

    if database_url.startswith("sqlite:///"):
        # SQLite gives its log and shared memory the rights of the file that they belong to.
        private_file(Path(database_url.removeprefix("sqlite:///")))
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA busy_timeout=10000")
            command.upgrade(alembic_config(connection), "head")
    except exc.DatabaseError as problem:
        raise StoreUnavailable(str(problem)) from problem
    except util.CommandError as problem:
        raise StoreNotMigrated(
            f"the database is at a revision that this code does not know, so it is newer: {problem}"
        ) from problem
    finally:
        engine.dispose()
    return HEAD_REVISION


def alembic_config(connection: Any) -> Any:
    """Alembic's configuration for an open connection, without a file."""
    from alembic.config import Config  # noqa: PLC0415 - as in migrate

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
