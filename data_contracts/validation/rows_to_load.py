"""The rows of a ledger folder that may be loaded: all that validation accepted, else those that pass.

What validation accepted is known again by its fingerprint and not judged twice. Any other folder's rows are
judged one by one by their contract before anything is written, and those that break a rule are set apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.parquet_ledger import arrow_schema, has_table, part_files, read_table
from data_contracts.progress import Progress, no_progress
from data_contracts.validation.accepted_folder import AcceptedFolder, read_accepted_file, why_not_vouched_for
from data_contracts.validation.consequences import RefusedRows
from data_contracts.validation.folder_check import validation_folder
from data_contracts.validation.judged_table import JudgedTable, batches_of, normalised
from data_contracts.validation.quarantine import QuarantinedRow


def loading_folder(home: Path, directory: Path) -> Path:
    """Where the rows of a ledger folder lie that a load refused: in the home, one place for each folder.

    >>> loading_folder(Path("/srv/home"), Path("/srv/home/book")).as_posix()
    '/srv/home/loading/book-92719fe0'
    """
    return home / "loading" / validation_folder(home, directory).name


@dataclass(frozen=True, kw_only=True)
class RowsToLoad:
    """What a folder holds, by contract name.

    tables: the rows that may be loaded, with the contract's types, in file order.
    accepted: what validation said of the folder where it vouches for every file of it, else None: the rows
        were judged now.
    changes: in words, what is no more as validation accepted it; empty where it never saw the folder.
    judged: the contracts of which some row breaks a rule.
    clock_tolerance_ms: by which they were judged.
    """

    tables: dict[str, pa.Table]
    accepted: AcceptedFolder | None
    clock_tolerance_ms: int
    changes: tuple[str, ...] = ()
    judged: tuple[JudgedTable, ...] = ()

    def refused(self) -> Iterator[QuarantinedRow]:
        """The rows that break a rule of their contract, whole, each with what it breaks."""
        for table in self.judged:
            # The rules between rows are judged later, beside the ledger.
            refused = table.refused({})
            yield from table.quarantined_rows(refused, RefusedRows({table.contract.name: refused}))


def rows_to_load(directory: Path, progress: Progress = no_progress, *, clock_tolerance_ms: int) -> RowsToLoad:
    """Read a ledger folder, and judge its rows unless what validation accepted lies there unchanged.

    clock_tolerance_ms: how far two machines' clocks may be apart. What was accepted under another
        tolerance is judged again.
    Nothing is written. Raises LedgerFolderError for a file that cannot be read.
    """
    accepted = read_accepted_file(directory)
    present = [contract for contract in ALL_CONTRACTS if has_table(directory, contract)]
    changes = (
        ()
        if accepted is None
        else why_not_vouched_for(directory, accepted, clock_tolerance_ms=clock_tolerance_ms)
    )
    if accepted is not None and not changes:
        tables = {contract.name: read_table(directory, contract) for contract in present}
        return RowsToLoad(tables=tables, accepted=accepted, clock_tolerance_ms=clock_tolerance_ms)
    judged: list[JudgedTable] = []
    tables = {}
    for number, contract in enumerate(present):
        progress("judge the rows", done=number, total=len(present))
        table = JudgedTable(contract=contract, files=part_files(directory, contract))
        parts = [arrow_schema(contract).empty_table()]
        for batch in batches_of(table.files):
            passed = table.judge_one_by_one(batch, clock_tolerance_ms)
            parts.append(normalised(contract, batch).filter(pa.array(passed)))
        # What the others keep of their rows is needed no more, and a load is long.
        if table.broken:
            judged.append(table)
        tables[contract.name] = pa.concat_tables(parts)
    progress("judge the rows", done=len(present), total=len(present))
    return RowsToLoad(
        tables=tables,
        accepted=None,
        clock_tolerance_ms=clock_tolerance_ms,
        changes=changes,
        judged=tuple(judged),
    )
