"""Files with personal data or secrets: their owner alone reads them, whatever the umask allows."""

import errno
import os
from pathlib import Path


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone; one that is there stays."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)


def private_file(file: Path) -> None:
    """Make an empty file for its owner alone, in a private folder; one that is there stays as it is.

    Raises IsADirectoryError where a folder has its name.
    """
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not file.exists():
        private_folder(file.parent)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))


def write_private_text(file: Path, text: str) -> None:
    """Write a file, anew where it is there, for its owner alone.

    What is no text, as in the name of a file that is no UTF-8, is escaped.
    """
    private_file(file)
    file.write_text(text, encoding="utf-8", errors="backslashreplace")


def keep_new_files_private() -> None:
    """Let this process and its children make files and folders for their owner alone, libraries' too."""
    os.umask(0o077)
