"""Evidence: what is taken and what is refused by name, where it lies, and who gets it back."""

import stat
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from serving.disputes import evidence
from serving.disputes.dispute_answers import DisputeFileAnswer
from serving.disputes.kept_step import UnknownDispute
from serving.domain.dispute import Party
from serving.domain.dispute_policy import DisputePolicy
from serving.domain.dispute_steps import DisputeStepImpossible
from serving.domain.evidence_file import EvidenceRefused, EvidenceType, checked_evidence
from serving.store.store import Store
from tests.serving.dispute_desk import DisputeDesk, a_dispute_desk

MANY = 10_000_000
HEADER = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
PNG = HEADER + struct.pack(">II", 640, 480) + b"\x08\x02\x00\x00\x00" + b"\x00" * 4
JPEG = b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xc0\x00\x11\x08" + struct.pack(">HH", 480, 640) + b"\x03" * 12
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"


def a_jpeg_of(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" * 12


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("photo.png", PNG, EvidenceType.PNG),
        ("photo.JPG", JPEG, EvidenceType.JPEG),
        ("photo.jpeg", JPEG, EvidenceType.JPEG),
        ("Rechnung März 1.pdf", PDF, EvidenceType.PDF),
        ("note.txt", "Grüße\r\n\tEnde".encode(), EvidenceType.TEXT),
    ],
)
def test_four_types_are_taken_by_what_they_hold(name: str, content: bytes, kind: EvidenceType) -> None:
    assert checked_evidence(name, content, maximum_bytes=MANY).media_type is kind


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("photo.png", PDF, "name must end as the content says: .pdf"),
        ("invoice.pdf", b"MZ\x90\x00", "file must be a PDF, a PNG, a JPEG or plain text"),
        ("invoice.pdf", b"<html><script>alert(1)</script>", "file must be a PDF"),
        ("page.txt", b"\xef\xbb\xbf \n<!DOCTYPE html><p>", "file must be a PDF"),
        ("picture.txt", b"<svg xmlns='x' onload='alert(1)'/>", "file must be a PDF"),
        ("zip.txt", b"PK\x03\x04\x00\x00", "file must be a PDF"),
        ("latin.txt", "Gr\xfc\xdfe".encode("latin-1"), "file must be a PDF"),
        ("bell.txt", b"ring\x07", "file must be a PDF"),
        ("empty.txt", b"", "file must not be empty"),
        ("bomb.png", HEADER + struct.pack(">II", 2**31 - 1, 2**31 - 1), "file must be a picture of at most"),
        ("bomb.png", HEADER + struct.pack(">II", 100_000, 100_000) + b"x" * 9, "at most 100000000 points"),
        ("none.png", HEADER + struct.pack(">II", 0, 480), "file must be a picture that says its size"),
        ("cut.png", b"\x89PNG\r\n\x1a\n", "file must be a picture that says its size"),
        ("late.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 4 + b"tEXt" + b"\x00" * 20, "that says its size"),
        ("bomb.jpg", a_jpeg_of(65_535, 65_535), "file must be a picture of at most"),
        ("twice.jpg", a_jpeg_of(640, 480)[:21] + a_jpeg_of(65_535, 65_535)[2:], "at most 100000000"),
        ("cut.jpg", b"\xff\xd8\xff\xd9", "that says its size"),
        ("../../bonitas.db", b"x", "name must be a file's name without a path"),
        ("..\\evil.txt", b"x", "name must be a file's name without a path"),
        ("C:evil.txt", b"x", "name must be a file's name without a path"),
        ("/etc/passwd", b"x", "name must be a file's name without a path"),
        ("...", b"x", "name must be a file's name without a path"),
        ("invoice\u202efdp.txt", b"x", "name must not hold signs that turn the direction of the text"),
        ("a\u2066b.txt", b"x", "name must not hold signs that turn"),
        ("a\x00.txt", b"x", "name must not hold control characters"),
        ('a\r\nSet-Cookie: x="y".txt', b"x", "name must be a file's name"),
        ("a\nb.txt", b"x", "name must not hold control characters"),
        ("a\u200bb.txt", b"x", "name must not hold control characters"),
        (" ", b"x", "name is required"),
        ("x" * 117 + ".txt", b"x", "name must have at most 120 characters"),
        ("long.txt", b"x" * 11, "file must have at most 10 bytes"),
    ],
)
def test_what_lies_or_bursts_or_leads_elsewhere_is_refused_by_name(
    name: str, content: bytes, rule: str
) -> None:
    maximum = 10 if name == "long.txt" else MANY
    with pytest.raises(EvidenceRefused, match=rule):
        checked_evidence(name, content, maximum_bytes=maximum)


@pytest.fixture
def desk(store: Store) -> DisputeDesk:
    return a_dispute_desk(store)


def handed_in(
    desk: DisputeDesk,
    folder: Path,
    dispute_id: str,
    *,
    party: Party = Party.MERCHANT,
    content: bytes = PNG,
    name: str = "photo.png",
) -> DisputeFileAnswer:
    stored = evidence.store_evidence(
        desk.scope, folder, dispute_id, party=party, name=name, content=content, merchant_id="m1"
    )
    return evidence.note_evidence(desk.scope, stored, by="shop")


def test_a_file_lies_outside_the_database_for_its_owner_alone_and_comes_back(
    desk: DisputeDesk, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "evidence"
    opened = desk.open()
    file = handed_in(desk, folder, opened.dispute_id)
    (place,) = [one for one in folder.rglob("*") if one.is_file()]
    assert place == folder / opened.dispute_id / file.sha256
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    known, content = evidence.read_file(
        desk.scope, folder, opened.dispute_id, file.file_id, party=Party.MERCHANT, merchant_id="m1"
    )
    assert content == PNG
    headers = evidence.download_headers(replace(known, name='Foto "ä".png'))
    assert headers["Content-Disposition"] == (
        "attachment; filename=\"Foto____.png\"; filename*=UTF-8''Foto%20%22%C3%A4%22.png"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert desk.actions(opened.dispute_id) == ["opened", "file_added"]


def test_the_same_content_again_is_the_file_that_is_there(desk: DisputeDesk, tmp_path: Path) -> None:
    opened = desk.open()
    first = handed_in(desk, tmp_path, opened.dispute_id)
    assert handed_in(desk, tmp_path, opened.dispute_id, name="other.png") == first
    of_customer = evidence.store_evidence(
        desk.scope,
        tmp_path,
        opened.dispute_id,
        party=Party.CUSTOMER,
        name="p.png",
        content=PNG,
        customer_id="c1",
    )
    assert evidence.note_evidence(desk.scope, of_customer, by="portal").file_id != first.file_id


def test_a_side_sees_its_own_files_only_and_the_desk_all(desk: DisputeDesk, tmp_path: Path) -> None:
    opened = desk.open()
    file = handed_in(desk, tmp_path, opened.dispute_id)
    with pytest.raises(evidence.UnknownDisputeFile):
        evidence.read_file(
            desk.scope, tmp_path, opened.dispute_id, file.file_id, party=Party.CUSTOMER, customer_id="c1"
        )
    with pytest.raises(UnknownDispute):
        evidence.read_file(
            desk.scope, tmp_path, opened.dispute_id, file.file_id, party=Party.MERCHANT, merchant_id="m2"
        )
    assert evidence.read_file(desk.scope, tmp_path, opened.dispute_id, file.file_id, party=None)[1] == PNG


def test_files_are_bounded_and_a_closed_dispute_takes_none(desk: DisputeDesk, tmp_path: Path) -> None:
    desk.policy = replace(desk.policy, disputes=DisputePolicy(evidence_files=2))
    opened = desk.open()
    for number in range(2):
        handed_in(desk, tmp_path, opened.dispute_id, content=b"%d" % number, name="note.txt")
    with pytest.raises(EvidenceRefused, match="one of at most 2 of one side"):
        handed_in(desk, tmp_path, opened.dispute_id)
    assert len([one for one in tmp_path.rglob("*") if one.is_file()]) == 2 + _databases(tmp_path)
    desk.withdraw(opened.dispute_id)
    with pytest.raises(DisputeStepImpossible):
        handed_in(desk, tmp_path, opened.dispute_id, content=b"0", name="note.txt")


def _databases(folder: Path) -> int:
    return len(list(folder.glob("bonitas.db*")))


def test_a_file_that_was_lost_or_changed_is_told(desk: DisputeDesk, tmp_path: Path) -> None:
    opened = desk.open()
    file = handed_in(desk, tmp_path, opened.dispute_id)
    place = tmp_path / opened.dispute_id / file.sha256
    place.write_bytes(b"another")
    with pytest.raises(evidence.EvidenceLost, match="not what was handed in"):
        evidence.read_file(desk.scope, tmp_path, opened.dispute_id, file.file_id, party=None)
    place.unlink()
    with pytest.raises(evidence.EvidenceLost, match="not in the home"):
        evidence.read_file(desk.scope, tmp_path, opened.dispute_id, file.file_id, party=None)


def test_who_is_killed_before_the_store_knows_hands_the_file_in_again(
    desk: DisputeDesk, tmp_path: Path
) -> None:
    opened = desk.open()
    evidence.store_evidence(
        desk.scope, tmp_path, opened.dispute_id, party=Party.MERCHANT, name="photo.png", content=PNG
    )
    assert desk.actions(opened.dispute_id) == ["opened"]
    handed_in(desk, tmp_path, opened.dispute_id)
    assert desk.actions(opened.dispute_id) == ["opened", "file_added"]
