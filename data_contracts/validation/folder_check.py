"""Validation of a ledger folder: every row is judged, none is changed, nothing is dropped silently.

The folder that is validated stays as it is. Refused rows are written beside the report, accepted ones to a
folder of their own where that is asked for. For every contract: rows read = accepted + quarantined +
repeated, where a repeated row says again, under the same event_id or bank reference, what another row says.
"""

import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from data_contracts.between_rows.cross_table_rules import (
    CrossTableVerdict,
    judge_ledger,
)
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from data_contracts.instants import instant_ms
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.ledger_folder import (
    BESIDE_THE_ROWS,
    refuse_left_out_rows,
    what_is_not_read,
)
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.parquet_ledger import (
    naming_unreadable,
    part_files,
    write_table,
)
from data_contracts.private_files import private_file, private_folder, write_private_text
from data_contracts.progress import Progress, no_progress
from data_contracts.validation import quarantine, validation_report
from data_contracts.validation.accepted_folder import (
    is_what_validation_wrote,
    write_accepted_file,
)
from data_contracts.validation.consequences import RefusedRows
from data_contracts.validation.judged_table import JudgedTable, KeptRows, batches_of
from data_contracts.validation.quarantine import QuarantinedRow
from data_contracts.validation.validation_result import ContractCounts, ValidationResult


def validation_folder(home: Path, directory: Path) -> Path:
    """Where the report on a ledger folder lies if nobody says so: in the home, one for each such folder.

    A folder inside the home keeps its report when the home moves.

    >>> validation_folder(Path("/srv/home"), Path("/srv/home/book")).name
    'book-92719fe0'
    """
    whole, inside = directory.resolve(), home.resolve()
    place = whole.relative_to(inside) if whole.is_relative_to(inside) else whole
    return home / "validation" / f"{whole.name}-{hashlib.sha256(place.as_posix().encode()).hexdigest()[:8]}"


def validate_folder(
    directory: Path,
    *,
    report_directory: Path,
    accepted_directory: Path | None = None,
    progress: Progress = no_progress,
    now: dt.datetime | None = None,
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> ValidationResult:
    """Judge every row of a ledger folder, which stays as it is, and write a report.

    report_directory: gets validation_report.html, validation.json and the refused rows, in place of those of
        an earlier report there.
    accepted_directory: gets the accepted rows, sorted by entity and time, with their fingerprint and the
        files that lie beside the rows; replaces what validation wrote there before.
    now: rows recorded after it are refused; the present when None.
    clock_tolerance_ms: how far two machines' clocks may be apart.
    Raises LedgerFolderError, before anything is written, for a file that cannot be read, for rows that would
    be left out, and where the other two folders lie inside the first or hold something else; and
    FileNotFoundError without a folder.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is no folder")
    _require_apart(directory, report_directory, accepted_directory)
    not_read = what_is_not_read(directory)
    refuse_left_out_rows(directory, not_read)
    started_at = dt.datetime.now(dt.UTC)
    moment = started_at if now is None else now
    now_ms = instant_ms(moment)
    total = _count_rows(directory)
    done = 0
    judged: dict[str, JudgedTable] = {}
    for contract in ALL_CONTRACTS:
        files = part_files(directory, contract)
        if files:
            table = JudgedTable(contract=contract, files=files)
            for batch in batches_of(files):
                progress(f"validate {contract.name}", done=done, total=total)
                table.judge(batch, clock_tolerance_ms)
                done += batch.num_rows
            judged[contract.name] = table
    progress("validate references", done=done, total=total)
    verdicts = judge_ledger(
        {name: table.ledger_columns() for name, table in judged.items()},
        now_ms=now_ms,
        full_rows=lambda contract, positions: judged[contract.name].full_rows(positions),
        clock_tolerance_ms=clock_tolerance_ms,
    )
    refused = {name: table.refused(verdicts[name].broken) for name, table in judged.items()}
    all_refused = RefusedRows(refused)
    private_folder(report_directory)
    quarantine.begin_anew(report_directory)
    counts = []
    samples: dict[str, list[QuarantinedRow]] = {}
    for contract in ALL_CONTRACTS:
        if contract.name in judged:
            progress(f"quarantine {contract.name}", done=done, total=total)
            table = judged[contract.name]
            own_refused = refused[contract.name]
            kept = KeptRows(sample=[])
            if own_refused.rules:
                rows = kept.watching(table.quarantined_rows(own_refused, all_refused))
                quarantine.append(report_directory, contract.name, rows, quarantined_at=moment.isoformat())
            samples[contract.name] = kept.sample
            counts.append(table.counts(verdicts[contract.name], own_refused, kept))
        else:
            counts.append(
                ContractCounts(contract=contract.name, read=0, accepted=0, quarantined=0, repeated=0)
            )
    fingerprint = None
    if accepted_directory is not None:
        fingerprint = _write_accepted(
            directory,
            accepted_directory,
            judged,
            verdicts,
            report_directory=report_directory,
            validated_at=moment.isoformat(),
            refused=sum(one.quarantined for one in counts),
            clock_tolerance_ms=clock_tolerance_ms,
            progress=progress,
        )
    progress("validate", done=total, total=total)
    result = ValidationResult(
        directory=directory,
        validated_at=moment,
        contracts=tuple(counts),
        not_read=not_read,
        seconds=(dt.datetime.now(dt.UTC) - started_at).total_seconds(),
        report_file=report_directory / "validation_report.html",
        accepted_directory=accepted_directory,
        fingerprint=fingerprint,
    )
    summary = result.to_json()
    write_private_text(report_directory / "validation.json", json.dumps(summary, indent=2) + "\n")
    write_private_text(result.report_file, validation_report.render(summary, samples))
    return result


def _require_apart(directory: Path, report_directory: Path, accepted_directory: Path | None) -> None:
    """Raise LedgerFolderError where something would be written into what is validated, or over another's."""
    data = directory.resolve()
    for name, folder in (("--report", report_directory), ("--out", accepted_directory)):
        if folder is None:
            continue
        whole = folder.resolve()
        if whole.is_relative_to(data):
            raise LedgerFolderError(f"{name} {folder} lies in {directory}, which validation never changes")
        if whole.exists() and not whole.is_dir():
            raise LedgerFolderError(f"{name} {folder} is no folder")
    if accepted_directory is None:
        return
    accepted, report = accepted_directory.resolve(), report_directory.resolve()
    if data.is_relative_to(accepted) or report.is_relative_to(accepted) or accepted.is_relative_to(report):
        raise LedgerFolderError(
            f"--out {accepted_directory} must be a folder of its own: not around the validated rows, and not "
            "in or around the report's folder"
        )
    if accepted.is_dir() and any(accepted.iterdir()) and not is_what_validation_wrote(accepted):
        raise LedgerFolderError(
            f"--out {accepted_directory} holds something else than validation wrote there: name an empty "
            "folder, or one that does not exist"
        )


def _write_accepted(
    directory: Path,
    accepted_directory: Path,
    judged: Mapping[str, "JudgedTable"],
    verdicts: Mapping[str, CrossTableVerdict],
    *,
    report_directory: Path,
    validated_at: str,
    refused: int,
    clock_tolerance_ms: int,
    progress: Progress,
) -> str:
    """Write the folder of accepted rows whole, then put it in its place; its fingerprint."""
    with _put_in_place(accepted_directory) as new:
        for done, (name, table) in enumerate(judged.items()):
            progress("write the accepted rows", done=done, total=len(judged))
            rows = table.accepted_rows(verdicts[name])
            if rows.num_rows or not table.read:
                write_table(new, table.contract, rows)
        for name in BESIDE_THE_ROWS:
            if (directory / name).is_file():
                private_file(new / name)
                shutil.copyfile(directory / name, new / name)
        accepted = write_accepted_file(
            new,
            stands_at=accepted_directory.absolute(),
            validated_at=validated_at,
            report=report_directory,
            refused=refused,
            clock_tolerance_ms=clock_tolerance_ms,
        )
    return accepted.fingerprint


@contextmanager
def _put_in_place(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, which takes its place at the end; none where writing fails."""
    target = folder.absolute()
    private_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        new = Path(scratch) / "new"
        private_folder(new)
        yield new
        if target.exists():
            target.rename(Path(scratch) / "old")
        new.rename(target)


def _count_rows(directory: Path) -> int:
    rows = 0
    for contract in ALL_CONTRACTS:
        for file in part_files(directory, contract):
            with naming_unreadable(file):
                rows += pq.read_metadata(file).num_rows
    return rows
