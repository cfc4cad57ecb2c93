"""Evidence of both sides of a dispute: handed in, kept outside of the database, and given out again.

A file lies in the home below `evidence/`, in the folder of its dispute, under the SHA-256 of what it holds,
for the service alone. It is written before the database says that it is there: who is killed in between
leaves a file that nobody names, never a name without a file.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from data_contracts.private_files import private_folder
from serving.disputes.dispute_answers import DisputeFileAnswer, file_answer
from serving.disputes.kept_step import changing, known_dispute
from serving.domain.dispute import Dispute, DisputeAction, Party
from serving.domain.dispute_steps import DisputeStepImpossible
from serving.domain.errors import RiskError
from serving.domain.evidence_file import CheckedEvidence, EvidenceRefused, checked_evidence
from serving.requests.case_scope import CaseScope
from serving.store.dispute_files import DisputeFile, files_of_dispute, insert_dispute_file
from serving.store.disputes import append_dispute_history
from serving.store.store import Transaction

OCTETS = "application/octet-stream"
"""The media type of a file on its way in and out: what it holds is judged by its content alone."""


class UnknownDisputeFile(RiskError):
    """There is no such file about the dispute, or it is the other side's."""


class EvidenceLost(RiskError):
    """The file is named, but is not in the home or is not what was handed in: a restored store without it."""


@dataclass(frozen=True, kw_only=True)
class StoredEvidence:
    """A file that lies in its place and is not named by the store yet."""

    dispute_id: str
    party: Party
    checked: CheckedEvidence
    sha256: str
    size_bytes: int


def store_evidence(
    scope: CaseScope,
    folder: Path,
    dispute_id: str,
    *,
    party: Party,
    name: str,
    content: bytes,
    merchant_id: str | None = None,
    customer_id: str | None = None,
) -> StoredEvidence:
    """Check a file of one side and put it in its place; `note_evidence` is to follow.

    It waits for the disk: a service does it beside its event loop.
    folder: of the settings. merchant_id, customer_id: whose dispute it must be.
    Raises UnknownDispute, EvidenceRefused, DisputeStepImpossible once the dispute has ended.
    """
    policy = scope.policy.disputes
    with scope.store.reading() as tx:
        dispute = known_dispute(tx, dispute_id, merchant_id=merchant_id, customer_id=customer_id)
        own = _own_files(tx, dispute, party)
    checked = checked_evidence(name, content, maximum_bytes=policy.evidence_file_bytes)
    sha256 = hashlib.sha256(content).hexdigest()
    if all(file.sha256 != sha256 for file in own):
        _require_room(scope, own)
    _write(_place(folder, dispute_id, sha256), content)
    return StoredEvidence(
        dispute_id=dispute_id, party=party, checked=checked, sha256=sha256, size_bytes=len(content)
    )


def note_evidence(scope: CaseScope, stored: StoredEvidence, *, by: str) -> DisputeFileAnswer:
    """Name a file that was put in its place; the same content again is the file that is there.

    Raises UnknownDispute, EvidenceRefused, DisputeStepImpossible.
    """
    with changing(scope, stored.dispute_id) as (tx, dispute):
        own = _own_files(tx, dispute, stored.party)
        same = next((file for file in own if file.sha256 == stored.sha256), None)
        if same is not None:
            return file_answer(same)
        _require_room(scope, own)
        file = DisputeFile(
            file_id=f"fil_{secrets.token_hex(10)}",
            dispute_id=stored.dispute_id,
            party=stored.party,
            sha256=stored.sha256,
            name=stored.checked.name,
            media_type=stored.checked.media_type.value,
            size_bytes=stored.size_bytes,
            added_at_ms=scope.now_ms(),
            added_by=by,
        )
        insert_dispute_file(tx, file)
        append_dispute_history(
            tx,
            stored.dispute_id,
            at_ms=file.added_at_ms,
            actor=by,
            action=DisputeAction.FILE_ADDED,
            detail={
                "file_id": file.file_id,
                "party": file.party.value,
                "name": file.name,
                "sha256": file.sha256,
            },
        )
    return file_answer(file)


def _own_files(tx: Transaction, dispute: Dispute, party: Party) -> list[DisputeFile]:
    """The files of one side. Raises DisputeStepImpossible once the dispute has ended."""
    if dispute.is_closed:
        raise DisputeStepImpossible(f"dispute {dispute.dispute_id} is closed: it takes no file")
    return [file for file in files_of_dispute(tx, dispute.dispute_id) if file.party is party]


def _require_room(scope: CaseScope, own: Sequence[DisputeFile]) -> None:
    most = scope.policy.disputes.evidence_files
    if len(own) >= most:
        raise EvidenceRefused("file", f"must be one of at most {most} of one side")


def read_file(
    scope: CaseScope,
    folder: Path,
    dispute_id: str,
    file_id: str,
    *,
    party: Party | None,
    merchant_id: str | None = None,
    customer_id: str | None = None,
) -> tuple[DisputeFile, bytes]:
    """A file with what it holds. party: whose files the caller may see; None for the service desk: all.

    Raises UnknownDispute, UnknownDisputeFile, EvidenceLost.
    """
    with scope.store.reading() as tx:
        known_dispute(tx, dispute_id, merchant_id=merchant_id, customer_id=customer_id)
        files = files_of_dispute(tx, dispute_id)
    file = next((one for one in files if one.file_id == file_id and party in {None, one.party}), None)
    if file is None:
        raise UnknownDisputeFile(f"there is no file {file_id} about dispute {dispute_id}")
    try:
        content = _place(folder, dispute_id, file.sha256).read_bytes()
    except FileNotFoundError as problem:
        raise EvidenceLost(f"file {file_id} is not in the home") from problem
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise EvidenceLost(f"file {file_id} is not what was handed in")
    return file, content


def _place(folder: Path, dispute_id: str, sha256: str) -> Path:
    # Both are of our making: letters, digits and an underscore.
    return folder / dispute_id / sha256


def _write(place: Path, content: bytes) -> None:
    """Write a file whole or not at all, for its owner alone; one that is there holds the same."""
    if place.exists():
        return
    private_folder(place.parent)
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
        unfinished.replace(place)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def download_headers(file: DisputeFile) -> dict[str, str]:
    """The headers of a download: it is never shown in a page, whatever it holds, and so has no type here.

    A name of other letters goes along in the form of RFC 8187.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", file.name)
    in_utf_8 = quote(file.name, safe="")
    return {
        "Content-Type": OCTETS,
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{in_utf_8}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "no-store",
    }
