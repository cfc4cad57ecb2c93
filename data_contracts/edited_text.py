"""Files that people edit, some with editors that put a byte order mark before the text."""

from pathlib import Path

BYTE_ORDER_MARK = "\ufeff"


def read_edited_text(file: Path) -> str:
    """The UTF-8 text of a file, without a byte order mark. Raises OSError and UnicodeDecodeError."""
    return file.read_text(encoding="utf-8-sig")
