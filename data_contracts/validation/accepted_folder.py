"""The folder that validation writes: accepted rows alone, with the fingerprint of every file.

    ACCEPTED/orders/part-00000.parquet ...
    ACCEPTED/accepted.json

Whoever reads the folder later can tell whether it is still what was accepted.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from data_contracts.documentation import contracts_markdown
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.ledger_folder import ACCEPTED_FILE, BESIDE_THE_ROWS
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.parquet_ledger import part_files, require_file
from data_contracts.private_files import write_private_text

_FORM = 1


@dataclass(frozen=True, kw_only=True)
class AcceptedFolder:
    """What accepted.json says.

    validated_at: RFC 3339. report: the folder with report and quarantine, below which nothing was refused
    where `refused` is 0. files: SHA-256 in hexadecimal by name below the folder. contracts: SHA-256 of the
    contracts by which the rows were judged, empty where an earlier release did not say.
    clock_tolerance_ms: by which they were judged, None where an earlier release did not say.
    """

    validated_at: str
    report: Path
    refused: int
    files: Mapping[str, str]
    contracts: str = ""
    clock_tolerance_ms: int | None = None

    @property
    def fingerprint(self) -> str:
        """One hash over the names and contents of all files."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()


@cache
def contracts_fingerprint() -> str:
    """One hash over everything that the contracts of this release say of their rows."""
    return hashlib.sha256(contracts_markdown().encode()).hexdigest()


def files_that_count(directory: Path) -> dict[str, Path]:
    """Every file of a ledger folder that commands read, by its name below the folder, with slashes."""
    parts = [file for contract in ALL_CONTRACTS for file in part_files(directory, contract)]
    beside = [directory / name for name in BESIDE_THE_ROWS if (directory / name).is_file()]
    return {file.relative_to(directory).as_posix(): file for file in sorted((*parts, *beside))}


def write_accepted_file(
    directory: Path,
    *,
    stands_at: Path,
    validated_at: str,
    report: Path,
    refused: int,
    clock_tolerance_ms: int,
) -> AcceptedFolder:
    """Write the fingerprint of a folder as it is now.

    stands_at: where the folder will stand; the report is named from there, so that both can move together.
    """
    hashes = {name: _sha256(file) for name, file in files_that_count(directory).items()}
    accepted = AcceptedFolder(
        validated_at=validated_at,
        report=report,
        refused=refused,
        files=hashes,
        contracts=contracts_fingerprint(),
        clock_tolerance_ms=clock_tolerance_ms,
    )
    document = {
        "form": _FORM,
        "validated_at": validated_at,
        "report": os.path.relpath(report.absolute(), stands_at.absolute()),
        "refused": refused,
        "fingerprint": accepted.fingerprint,
        "contracts": accepted.contracts,
        "clock_tolerance_ms": clock_tolerance_ms,
        "files": hashes,
    }
    write_private_text(directory / ACCEPTED_FILE, json.dumps(document, indent=2, sort_keys=True) + "\n")
    return accepted


def read_accepted_file(directory: Path) -> AcceptedFolder | None:
    """What validation said of a folder; None for one that it did not write. Raises LedgerFolderError."""
    file = directory / ACCEPTED_FILE
    if not file.exists():
        return None
    require_file(file)
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        accepted = AcceptedFolder(
            validated_at=str(document["validated_at"]),
            report=Path(os.path.normpath(directory.absolute() / document["report"])),
            refused=int(document["refused"]),
            files={str(name): str(sha256) for name, sha256 in document["files"].items()},
            contracts=str(document.get("contracts", "")),
            clock_tolerance_ms=_whole_number_or_none(document.get("clock_tolerance_ms")),
        )
        is_whole = document["fingerprint"] == accepted.fingerprint
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as problem:
        raise LedgerFolderError(
            f"{file} cannot be read ({problem!r}): validate the rows again with bonitas data validate --out"
        ) from problem
    if not is_whole:
        raise LedgerFolderError(
            f"{file} was changed: validate the rows again with bonitas data validate --out"
        )
    return accepted


def what_changed(directory: Path, accepted: AcceptedFolder) -> tuple[str, ...]:
    """In words, each file that is not what was accepted; empty where the folder is as it was."""
    found = files_that_count(directory)
    changes = []
    for name in sorted({*found, *accepted.files}):
        if name not in found:
            changes.append(f"{name} is missing")
        elif name not in accepted.files:
            changes.append(f"{name} was added")
        elif _sha256(found[name]) != accepted.files[name]:
            changes.append(f"{name} was changed")
    return tuple(changes)


def why_not_vouched_for(
    directory: Path, accepted: AcceptedFolder, *, clock_tolerance_ms: int | None
) -> tuple[str, ...]:
    """In words, why rows of a folder may not be what this release accepts; empty where they are.

    Rows that an earlier release accepted may break a rule that came since, and rows that were accepted under
    another tolerance between clocks may lie too far ahead.
    clock_tolerance_ms: by which they are to be judged, None where that is not asked.
    """
    changes = what_changed(directory, accepted)
    if accepted.contracts != contracts_fingerprint():
        changes = (*changes, "contracts were changed")
    if clock_tolerance_ms not in {None, accepted.clock_tolerance_ms}:
        changes = (*changes, "the tolerance between clocks was changed")
    return changes


def is_what_validation_wrote(directory: Path) -> bool:
    """Whether a folder holds what validation wrote there, unchanged, and nothing else.

    Raises LedgerFolderError.
    """
    accepted = read_accepted_file(directory)
    if accepted is None or what_changed(directory, accepted):
        return False
    there = {file.relative_to(directory).as_posix() for file in directory.rglob("*") if not file.is_dir()}
    return there == {*accepted.files, ACCEPTED_FILE}


def _whole_number_or_none(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise TypeError(f"{value!r} is no whole number")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
