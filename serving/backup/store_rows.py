"""The store's tables as lines of JSON, whichever database they lie in, and back into either.

Everything goes by the tables' declaration: a column that is added there is in the next backup.
"""

import base64
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Any

import msgspec
from sqlalchemy import LargeBinary, Table, Text
from sqlalchemy.types import Float, Integer, TypeEngine

from serving.backup.backup_file import ByteSink, TableInBackup
from serving.store.store import Row, Transaction

PAGE = 500
INTEGER, DOUBLE, TEXT, BINARY = "integer", "double", "text", "binary"
_KIND_OF: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (Integer, INTEGER),
    (Float, DOUBLE),
    (Text, TEXT),
    (LargeBinary, BINARY),
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


def columns_of(table: Table) -> dict[str, str]:
    """The kind of each column that holds something of its own, by name. Raises ValueError for other types."""
    return {
        column.name: _kind_of(table, column.name, column.type)
        for column in table.columns
        if column.computed is None
    }


def _kind_of(table: Table, column: str, declared: TypeEngine[Any]) -> str:
    for known, kind in _KIND_OF:
        if isinstance(declared, known):
            return kind
    raise ValueError(f"{table.name}.{column} is of a type that no backup holds yet: {declared}")


def quoted(name: str) -> str:
    """A name of the schema as SQL has it, also where it is a word of SQL."""
    return f'"{name}"'


def write_rows(
    tx: Transaction, table: Table, sink: ByteSink, tell: Callable[[int], None], *, is_postgresql: bool
) -> TableInBackup:
    """Write a table's rows in the order of its key, a page at a time. tell: is told of each page's rows."""
    columns = columns_of(table)
    count = 0
    for page in _pages(tx, table, list(columns)):
        sink.write(lines_of(page, list(columns.values())))
        count += len(page)
        tell(len(page))
    numbered = last_number(tx, table, is_postgresql=is_postgresql)
    return TableInBackup(columns=columns, rows=count, last_number=numbered)


def _pages(tx: Transaction, table: Table, columns: Sequence[str]) -> Iterator[list[Row]]:
    key = [column.name for column in table.primary_key]
    places = [columns.index(name) for name in key]
    named_key = ", ".join(map(quoted, key))
    selected = f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table.name)}"  # noqa: S608 - declared names
    ordered = f"ORDER BY {named_key} LIMIT {PAGE}"
    page = tx.execute(f"{selected} {ordered}")
    while page:
        yield page
        if len(page) < PAGE:
            return
        last = [page[-1][place] for place in places]
        beyond = f"({named_key}) > ({', '.join('?' for _ in key)})"
        page = tx.execute(f"{selected} WHERE {beyond} {ordered}", last)


def lines_of(rows: Iterable[Row], kinds: Sequence[str]) -> bytes:
    """Rows as lines of JSON, bytes as base64; kinds: of their values.

    JSON has no infinity and no NaN: they are written as text.
    """
    doubles = [place for place, kind in enumerate(kinds) if kind == DOUBLE]

    def to_json(row: Row) -> Sequence[Any]:
        values = list(row)
        for place in doubles:
            if values[place] is not None and not math.isfinite(values[place]):
                values[place] = str(values[place])
        return values

    return b"".join(_encode(to_json(row) if doubles else row) + b"\n" for row in rows)


def read_rows(lines: IO[bytes], kinds: Sequence[str]) -> Iterator[list[list[Any]]]:
    """The rows that `lines_of` wrote, a page at a time."""
    special = [(place, kind) for place, kind in enumerate(kinds) if kind in {DOUBLE, BINARY}]

    def row_of(line: bytes) -> list[Any]:
        values = _decode(line)
        for place, kind in special:
            value = values[place]
            if isinstance(value, str):
                values[place] = float(value) if kind == DOUBLE else base64.b64decode(value)
        return values

    while page := [row_of(line) for line in islice(lines, PAGE)]:
        yield page


def last_number(tx: Transaction, table: Table, *, is_postgresql: bool) -> int | None:
    """Up to which the database has numbered a table's rows by itself; None where it numbers none.

    Rows that are gone count: whoever reads on from a number must never meet it again.
    """
    if not is_postgresql:
        if not tx.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            return None
        return _highest(tx.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)))
    numbers: list[Row] = []
    for column, kind in columns_of(table).items():
        if kind == INTEGER:
            ((sequence,),) = tx.execute("SELECT pg_get_serial_sequence(?, ?)", (quoted(table.name), column))
            if sequence is not None:
                is_next = "CASE WHEN is_called THEN last_value ELSE last_value - 1 END"
                numbers += tx.execute(f"SELECT {is_next} FROM {sequence}")  # noqa: S608 - the database's own name
    return _highest(numbers)


def _highest(rows: Sequence[Row]) -> int | None:
    return max((int(number) for (number,) in rows), default=None)
