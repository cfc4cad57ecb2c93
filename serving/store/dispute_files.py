"""Which files were handed in about a dispute, in SQL; what they hold lies in the home."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.domain.dispute import Party
from serving.store.store import Transaction

_COLUMNS = "file_id, dispute_id, party, sha256, name, media_type, size_bytes, added_at_ms, added_by"


@dataclass(frozen=True, kw_only=True)
class DisputeFile:
    """One file. party: whose it is. media_type: by the content. sha256: of it, in hexadecimal."""

    file_id: str
    dispute_id: str
    party: Party
    sha256: str
    name: str
    media_type: str
    size_bytes: int
    added_at_ms: int
    added_by: str


def insert_dispute_file(tx: Transaction, file: DisputeFile) -> bool:
    """Keep that a file was handed in; False where its party has handed in the same content before."""
    return bool(
        tx.execute(
            f"INSERT INTO dispute_files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - a constant
            "ON CONFLICT (dispute_id, party, sha256) DO NOTHING RETURNING file_id",
            (
                file.file_id,
                file.dispute_id,
                file.party.value,
                file.sha256,
                file.name,
                file.media_type,
                file.size_bytes,
                file.added_at_ms,
                file.added_by,
            ),
        )
    )


def files_of_dispute(tx: Transaction, dispute_id: str) -> list[DisputeFile]:
    """Every file about a dispute, the earliest first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM dispute_files WHERE dispute_id = ? ORDER BY added_at_ms, file_id",  # noqa: S608 - a constant
        (dispute_id,),
    )
    return [_file(row) for row in rows]


def _file(row: Sequence[Any]) -> DisputeFile:
    return DisputeFile(
        file_id=row[0],
        dispute_id=row[1],
        party=Party(row[2]),
        sha256=row[3],
        name=row[4],
        media_type=row[5],
        size_bytes=int(row[6]),
        added_at_ms=int(row[7]),
        added_by=row[8],
    )
