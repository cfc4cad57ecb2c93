"""What lies in a ledger folder: the files that are read, and by name and reason everything that is not.

Rows lie in DIR/CONTRACT/part-*.parquet. Every command reads those files and no others; what lies beside them
is never taken for rows, and never left out without a word.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.parquet_ledger import (
    PART_FILES,
    UnreadableLedgerFile,
    has_table,
    naming_unreadable,
    part_files,
    require_distinct_columns,
)
from data_contracts.text_form import printable

ACCEPTED_FILE = "accepted.json"
"""Says what `bonitas data validate --out` wrote, in the folder that it wrote."""
LABELS_FILE = "labels.parquet"
PROTOCOL_FILE = "protocol.toml"
PROTECTED_ATTRIBUTES_FILE = "protected_attributes.parquet"
"""Where a data set has it: customer_id, and sex or age_years or both."""
BESIDE_THE_ROWS = (LABELS_FILE, PROTOCOL_FILE, PROTECTED_ATTRIBUTES_FILE)
"""What a data set brings beside its rows; commands read these files by name."""

OF_EARLIER_RELEASES = ("quarantine", "validation")
"""Folders into which `bonitas data validate` wrote when it still changed its input."""
_PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
ROW_SUFFIXES = (*_PARQUET_SUFFIXES, ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls")


class RowsLeftOut(LedgerFolderError):
    """Rows lie in the folder where nobody reads them, and work would go on without them."""


@dataclass(frozen=True, kw_only=True)
class NotRead:
    """One thing in a ledger folder that is not read.

    path: below the folder, with slashes, a folder's with one at its end. contracts: whose rows it seems to
    hold; empty where it says nothing of the kind. is_meant: it stands where a file is read and has its name,
    so that whoever put it there means it to be read.
    """

    path: str
    reason: str
    contracts: tuple[str, ...] = ()
    is_meant: bool = False

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.reason}")


def what_is_not_read(directory: Path) -> tuple[NotRead, ...]:
    """Everything in a ledger folder that is not read, by name.

    Hidden files and folders at its top are passed over. Raises UnreadableLedgerFile for a folder that cannot
    be looked into.
    """
    try:
        return tuple(_not_read(directory))
    except OSError as error:
        raise UnreadableLedgerFile(f"{error.filename} cannot be read ({error.strerror})") from error


def refuse_left_out_rows(directory: Path, found: tuple[NotRead, ...]) -> None:
    """Raise RowsLeftOut where something that is not read is meant to be.

    That is where it has the name of a file that is read, whatever lies beside it; or where a contract would
    have no rows while it seems to hold them.
    """
    left_out = [
        one
        for one in found
        if one.is_meant or any(not has_table(directory, CONTRACTS[contract]) for contract in one.contracts)
    ]
    if left_out:
        lines = "\n".join(f"  {one}" for one in left_out)
        raise RowsLeftOut(
            f"{directory} has rows that would be left out, so nothing was done:\n{lines}\n"
            f"restore them or rename them to DIR/CONTRACT/{PART_FILES}, or move them out of the folder"
        )


def unknown_columns(directory: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """The columns that no contract knows: by contract and name, the files that have them.

    Raises UnreadableLedgerFile for a file of rows that is no Parquet, whoever reads its rows later.
    """
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for contract in ALL_CONTRACTS:
        known = {column.name for column in contract.columns}
        for file in part_files(directory, contract):
            with naming_unreadable(file):
                names = pq.read_schema(file).names
            require_distinct_columns(file, names)
            for name in names:
                if name not in known:
                    found[contract.name, name] = (*found.get((contract.name, name), ()), file.name)
    return found


def _not_read(directory: Path) -> Iterator[NotRead]:
    for entry in sorted(directory.iterdir()):
        name = entry.name
        if name in {ACCEPTED_FILE, *BESIDE_THE_ROWS}:
            if not entry.is_file():
                reason = "is a folder" if entry.is_dir() else _what_is_no_file(entry)
                yield NotRead(path=name, reason=reason, is_meant=True)
        elif name.startswith("."):
            continue
        elif name in CONTRACTS and not entry.is_dir():
            what = "is a file" if entry.is_file() else _what_is_no_file(entry)
            reason = f"{what}; rows lie in {name}/{PART_FILES}"
            yield NotRead(path=name, reason=reason, contracts=(name,), is_meant=True)
        elif not entry.is_dir():
            yield _file_at_the_top(directory, entry)
        elif name in CONTRACTS:
            yield from _beside_the_parts(entry)
        elif name in OF_EARLIER_RELEASES:
            reason = "an earlier release of bonitas data validate wrote it; no command reads it"
            yield NotRead(path=f"{name}/", reason=reason)
        else:
            meant = _contracts_meant(name) if _holds_files(entry) else ()
            reason = f"no contract has this name{_is_it(meant)}"
            yield NotRead(path=f"{name}/", reason=reason, contracts=meant)


def _file_at_the_top(directory: Path, file: Path) -> NotRead:
    stem = file.name.partition(".")[0]
    if _looks_like_rows(file) and stem.lower().startswith("part") and directory.name in CONTRACTS:
        reason = f"DIR is the folder above: {directory.parent}"
        return NotRead(path=file.name, reason=reason, contracts=(directory.name,))
    meant = _contracts_meant(stem) if _looks_like_rows(file) else ()
    where = f"; rows lie in CONTRACT/{PART_FILES}" if meant else ""
    return NotRead(path=file.name, reason=f"is no ledger file{where}{_is_it(meant)}", contracts=meant)


def _beside_the_parts(folder: Path) -> Iterator[NotRead]:
    read = set(part_files(folder.parent, CONTRACTS[folder.name]))
    for entry in sorted(folder.iterdir()):
        if entry in read:
            continue
        path, seems_to_hold_rows = f"{folder.name}/{entry.name}", _looks_like_rows(entry)
        if entry.is_dir():
            path, seems_to_hold_rows = f"{path}/", seems_to_hold_rows or _holds_files(entry)
            reason = "folders inside a contract's folder are not read"
        elif entry.is_file():
            reason = f"only files named {PART_FILES} are read"
        else:
            reason = _what_is_no_file(entry)
        yield NotRead(
            path=path,
            reason=reason,
            contracts=(folder.name,) if seems_to_hold_rows else (),
            is_meant=_is_named_as_part(entry),
        )


def _is_named_as_part(entry: Path) -> bool:
    """Whether a name is that of a part of the rows, in capitals or with another ending of Parquet too.

    >>> [_is_named_as_part(Path(name)) for name in ("PART-1.PARQUET", "part-1.pq", "part-1.parquet.bak")]
    [True, True, False]
    """
    name = entry.name.lower()
    return name.startswith("part-") and name.endswith(_PARQUET_SUFFIXES)


def _what_is_no_file(entry: Path) -> str:
    """Why something that has the name of a part is not read."""
    if entry.is_symlink() and not entry.exists():
        return f"is a link to {entry.readlink()}, which is not there"
    link = "is a link to" if entry.is_symlink() else "is"
    kinds = (
        (entry.is_fifo, "a named pipe"),
        (entry.is_socket, "a socket"),
        (entry.is_block_device, "a device"),
        (entry.is_char_device, "a device"),
    )
    kind = next((name for is_of_kind, name in kinds if is_of_kind()), "something else")
    return f"{link} {kind}, and only files are read"


def _looks_like_rows(file: Path) -> bool:
    """Whether a name is that of a table, in capitals or packed too.

    >>> [_looks_like_rows(Path(name)) for name in ("A.PARQ", "orders.csv.gz", "part-0.parquet.bak", "x.md")]
    [True, True, False, False]
    """
    name = file.name.lower().removesuffix(".gz").removesuffix(".zip")
    return name.endswith(ROW_SUFFIXES)


def _holds_files(folder: Path) -> bool:
    return any(_looks_like_rows(file) for file in folder.rglob("*"))


def _is_it(contracts: tuple[str, ...]) -> str:
    return f"; is it {' or '.join(contracts)}?" if contracts else ""


def _contracts_meant(name: str) -> tuple[str, ...]:
    """The contracts that somebody may have meant by a name.

    >>> _contracts_meant("payments"), _contracts_meant("Orders"), _contracts_meant("notes")
    (('invoice_payments',), ('orders',), ())
    """
    words = _words(name)
    for contract in CONTRACTS:
        if words == _words(contract):
            return (contract,)
    ending = tuple(one for one in CONTRACTS if words and _words(one)[-len(words) :] == words)
    near = difflib.get_close_matches(name.lower(), [contract.name for contract in ALL_CONTRACTS], cutoff=0.85)
    return ending or tuple(near[:1])


def _words(name: str) -> list[str]:
    """A name's words, small and in the singular.

    >>> _words("Credit-Inquiries")
    ['credit', 'inquiry']
    """
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    return [f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s") for word in words]
