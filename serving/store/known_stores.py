"""Which stores a home has had: one that is gone is missed, and none is made in its place without a word.

An empty store would decide as if nobody had ever owed anything: no customer, no arrears, no reserved limit.
"""

import secrets
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from data_contracts.private_files import private_file
from serving.store.errors import StoreError, StoreLost
from serving.store.open_store import opened_unchecked, sqlite_path
from serving.store.schema_revisions import revisions_of

FILE = ".known-stores"
"""In the home: a line for each store that was made or migrated from it."""
_LOGS = ("-wal", "-journal", "-shm")


def remember_store(home: Path, database_url: str) -> None:
    """Note that there is a store. Raises OSError."""
    known, name = _known(home), _name(home, database_url)
    if name not in known:
        _keep(home, [*known, name])


def forget_store(home: Path, database_url: str) -> None:
    """On purpose: a store that is gone is missed no more. Raises OSError."""
    known, name = _known(home), _name(home, database_url)
    if name in known:
        _keep(home, [one for one in known if one != name])


def _keep(home: Path, names: list[str]) -> None:
    unfinished = home / f"{FILE}.{secrets.token_hex(4)}"
    private_file(unfinished)
    unfinished.write_text("".join(f"{one}\n" for one in names), encoding="utf-8")
    unfinished.replace(home / FILE)


def refuse_lost_store(home: Path, database_url: str) -> None:
    """Raise StoreLost where there was a store, and none or nothing that could be one is there now.

    Raises StoreUnavailable where that cannot be told.
    """
    lost = _what_is_lost(home, database_url)
    if lost is not None:
        raise StoreLost(
            f"{lost}; none is made in its place. Bring it back, `bonitas restore FILE --store-only --to URL` "
            "(or begin anew on purpose: `bonitas migrate --new-store`)"
        )


def put_lost_store_aside(home: Path, database_url: str) -> list[Path]:
    """On purpose: let a new store be made where one is lost; where what is left of it lies from now on.

    Raises StoreError where nothing is lost: what is there stays.
    """
    if _what_is_lost(home, database_url) is None:
        raise StoreError("no store is lost, so none is made in place of another: leave --new-store out")
    file = sqlite_path(database_url)
    if file is None:
        return []
    name = f"{file.name}.lost-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    left = [file.with_name(file.name + ending) for ending in ("", *_LOGS)]
    return [
        one.rename(file.with_name(name + one.name.removeprefix(file.name))) for one in left if one.exists()
    ]


def _what_is_lost(home: Path, database_url: str) -> str | None:
    is_known = _name(home, database_url) in _known(home)
    file = sqlite_path(database_url)
    if file is not None and not file.exists():
        # A log without its database: whoever wrote it was killed, and the database went afterwards.
        was_there = is_known or file.with_name(file.name + _LOGS[0]).exists()
        return f"the store {file} is gone" if was_there else None
    try:
        with closing(opened_unchecked(database_url)) as store:
            if is_known and revisions_of(store) is None:
                return "the database of the store holds no tables of it"
    except StoreLost as lost:
        return str(lost)
    return None


def _known(home: Path) -> list[str]:
    try:
        text = (home / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return text.splitlines()


def _name(home: Path, database_url: str) -> str:
    """A store in the home by its place there: the home may be moved. A server without user and password."""
    file = sqlite_path(database_url)
    if file is None:
        said = conninfo_to_dict(database_url)
        return f"postgresql://{said.get('host', '')}:{said.get('port', '')}/{said.get('dbname', '')}"
    inside = home.absolute()
    return str(file.relative_to(inside) if file.is_relative_to(inside) else file)
