"""The file of a backup: a ZIP with a manifest, whose end names the SHA-256 of all before it.

So a file that was cut off or changed anywhere is told before anything of it is used; other programs read the
ZIP as any other.
"""

import hashlib
import io
import os
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import msgspec

FORMAT = 1
MANIFEST = "manifest.json"
STORE_PARTS = "store"
HOME_PARTS = "home"
UNFINISHED = ".unfinished"
"""How a file is called that is not whole yet."""
_END = b"bonitas-backup-sha256:"
_SHA256_DIGITS = 64
_BLOCK = 1 << 20


class BackupError(Exception):
    """A backup cannot be made or restored; the message says what to do."""


class BackupDamagedError(BackupError):
    """The file is none of ours, was cut off, or is not what was written."""


class TableInBackup(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the store. columns: name and kind of each, in the order of its rows' values.

    last_number: up to which the database has numbered its rows; None where it numbers none.
    """

    columns: dict[str, str]
    rows: int
    last_number: int | None = None


class PartInBackup(msgspec.Struct, frozen=True, kw_only=True):
    """One file within the backup, before it was compressed. sha256: in hexadecimal."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. schema_revision: of the store's tables. left_out: what is not in it, in words."""

    format: int
    code_version: str
    made_at: str
    schema_revision: str
    tables: dict[str, TableInBackup]
    parts: dict[str, PartInBackup]
    left_out: list[str]


class _FormatOnly(msgspec.Struct):
    format: int


class ByteSink(Protocol):
    """Where the bytes of a part go."""

    def write(self, content: bytes, /) -> object:
        """Take the next bytes."""


class _Part:
    """A part that is being written: its bytes are counted and hashed on their way."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self._size_bytes = 0

    def write(self, content: bytes) -> None:
        self._target.write(content)
        self._hash.update(content)
        self._size_bytes += len(content)

    def written(self) -> PartInBackup:
        return PartInBackup(size_bytes=self._size_bytes, sha256=self._hash.hexdigest())


class BackupWriter:
    """Writes the parts one after the other, and the manifest at the end."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.parts: dict[str, PartInBackup] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[ByteSink]:
        """Take the bytes of one part until the block ends."""
        with self._archive.open(name, "w", force_zip64=True) as target:
            part = _Part(target)
            yield part
        self.parts[name] = part.written()

    def add_file(self, name: str, file: Path) -> None:
        """Add a file as it is now. Raises OSError."""
        with file.open("rb") as source, self.part(name) as part:
            while block := source.read(_BLOCK):
                part.write(block)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest."""
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        self._archive.writestr(MANIFEST, content)


@contextmanager
def written_backup(file: Path) -> Iterator[BackupWriter]:
    """Write a backup under another name beside `file`, for its owner alone; it takes its place once whole.

    Raises BackupError where the place is taken by something that is no backup, and OSError.
    """
    if file.is_dir():
        raise BackupError(f"{file} is a folder: name the file of the backup")
    if file.exists() and not is_backup(file):
        raise BackupError(f"{file} is there and is no backup: name another file")
    unfinished = unfinished_beside(file)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as target:
            # Compressed at the quickest: the service that runs beside it wants the processor.
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                yield BackupWriter(archive)
                archive.comment = _END + b"0" * _SHA256_DIGITS
            _seal(target)
            target.flush()
            os.fsync(target.fileno())
        unfinished.replace(file)
        sync_folder(file.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def unfinished_beside(file: Path) -> Path:
    """A name for what is to take the place of a file; what a killed process has left is in nobody's way."""
    return file.with_name(f".{file.name}.{secrets.token_hex(4)}{UNFINISHED}")


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(target: IO[bytes]) -> None:
    size = target.seek(0, io.SEEK_END)
    sha256 = _sha256_of_start(target, size - _SHA256_DIGITS)
    target.seek(size - _SHA256_DIGITS)
    target.write(sha256)


def _sha256_of_start(source: IO[bytes], size: int) -> bytes:
    source.seek(0)
    hashed = hashlib.sha256()
    while size > 0 and (block := source.read(min(_BLOCK, size))):
        hashed.update(block)
        size -= len(block)
    return hashed.hexdigest().encode()


def _kept_sha256(source: IO[bytes]) -> bytes | None:
    size = source.seek(0, io.SEEK_END)
    source.seek(max(0, size - len(_END) - _SHA256_DIGITS))
    end = source.read()
    return end.removeprefix(_END) if end.startswith(_END) else None


def is_backup(file: Path) -> bool:
    """Whether a file ends as a backup does; whether it is whole is not looked at. Raises OSError."""
    with file.open("rb") as source:
        return _kept_sha256(source) is not None


class BackupReader:
    """A backup that is whole, and its parts."""

    def __init__(self, file: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._file = file
        self._archive = archive
        self.manifest = manifest

    @contextmanager
    def part(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of a part. Raises BackupDamagedError at the end of the block where they are others."""
        kept = self.manifest.parts[name]
        with self._archive.open(name) as source:
            hashing = _Hashing(source)
            yield io.BufferedReader(hashing, _BLOCK)
            while hashing.readinto(bytearray(_BLOCK)):
                pass
        if hashing.sha256.hexdigest() != kept.sha256:
            raise BackupDamagedError(f"{self._file} is damaged: {name} is not what its manifest says")

    def home_files(self) -> list[tuple[str, PurePosixPath]]:
        """The parts that are files of the home: each with its place there."""
        found = []
        for name in self.manifest.parts:
            place = PurePosixPath(name)
            if place.parts[0] == HOME_PARTS:
                found.append((name, place.relative_to(HOME_PARTS)))
        return found


class _Hashing(io.RawIOBase):
    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._source.read(len(buffer))
        self.sha256.update(content)
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def opened_backup(file: Path) -> Iterator[BackupReader]:
    """A backup, once the whole file was compared with the hash at its end.

    Raises BackupDamagedError, BackupError where a newer release made it, and OSError.
    """
    with file.open("rb") as source:
        kept = _kept_sha256(source)
        if kept is None:
            raise BackupDamagedError(f"{file} is no backup, or it was cut off: its end is missing")
        size = source.seek(0, io.SEEK_END)
        if _sha256_of_start(source, size - _SHA256_DIGITS) != kept:
            raise BackupDamagedError(f"{file} is damaged: {_what_is_damaged(file)}")
        with zipfile.ZipFile(source) as archive:
            yield BackupReader(file, archive, _manifest(file, archive))


def _manifest(file: Path, archive: zipfile.ZipFile) -> Manifest:
    content = archive.read(MANIFEST)
    made_as = msgspec.json.decode(content, type=_FormatOnly).format
    if made_as != FORMAT:
        raise BackupError(
            f"{file} is a backup of format {made_as}, this release reads {FORMAT}: restore it with the "
            "release that made it, or a newer one"
        )
    manifest = msgspec.json.decode(content, type=Manifest)
    for name in manifest.parts:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise BackupDamagedError(f"{file} is damaged: {name} would lie outside of the home")
    return manifest


def _what_is_damaged(file: Path) -> str:
    """The first part that cannot be read any more, else what can be said."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, NotImplementedError):
        damaged = None
    return f"{damaged} cannot be read" if damaged else "it is not what was written"
