"""Files that the two sides of a dispute hand in: which are taken, judged by what they hold.

What a sender calls a file proves nothing: the type is told by its first bytes, and nothing is unpacked here.
A file is never shown in a page: whoever asks for one downloads it.
"""

import enum
import struct
import unicodedata
from dataclasses import dataclass

from serving.domain.errors import FieldsInvalid
from serving.domain.field_errors import FieldError, pointer

MAXIMUM_NAME_CHARACTERS = 120
LARGEST_PICTURE_PIXELS = 100_000_000
"""A picture is unpacked by whoever looks at it: 30,000 by 30,000 points would take their memory."""

_TURNS_TEXT = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PDF = b"%PDF-"
# Frames of a JPEG that name its size: all SOF markers but those of tables and arithmetic conditioning.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class EvidenceType(enum.Enum):
    """The closed list of what is taken, by media type."""

    PDF = "application/pdf"
    PNG = "image/png"
    JPEG = "image/jpeg"
    TEXT = "text/plain; charset=utf-8"


_ENDINGS = {
    EvidenceType.PDF: (".pdf",),
    EvidenceType.PNG: (".png",),
    EvidenceType.JPEG: (".jpg", ".jpeg"),
    EvidenceType.TEXT: (".txt",),
}


@dataclass(frozen=True, kw_only=True)
class CheckedEvidence:
    """A file that is taken: its name is good to be told back, and its type is what it holds."""

    name: str
    media_type: EvidenceType


class EvidenceRefused(FieldsInvalid):
    """A file is not taken; the errors name `name` or `file` and the rule."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__([FieldError(pointer=pointer(field), detail=f"{field} {rule}")])


def checked_evidence(name: str, content: bytes, *, maximum_bytes: int) -> CheckedEvidence:
    """A file with its type. Raises EvidenceRefused for a name or a content that breaks a rule.

    >>> checked_evidence("note.txt", b"hello", maximum_bytes=10).media_type.name
    'TEXT'
    >>> checked_evidence("../note.txt", b"hello", maximum_bytes=10)
    Traceback (most recent call last):
    serving.domain.evidence_file.EvidenceRefused: name must be a file's name without a path
    >>> checked_evidence("photo.png", b"hello", maximum_bytes=10)
    Traceback (most recent call last):
    serving.domain.evidence_file.EvidenceRefused: name must end as the content says: .txt
    """
    name = _checked_name(name)
    if not content:
        raise EvidenceRefused("file", "must not be empty")
    if len(content) > maximum_bytes:
        raise EvidenceRefused("file", f"must have at most {maximum_bytes} bytes")
    media_type = _type_of(content)
    endings = _ENDINGS[media_type]
    if not name.casefold().endswith(endings):
        raise EvidenceRefused("name", f"must end as the content says: {' or '.join(endings)}")
    return CheckedEvidence(name=name, media_type=media_type)


def _checked_name(name: str) -> str:
    if not name.strip():
        raise EvidenceRefused("name", "is required")
    if len(name) > MAXIMUM_NAME_CHARACTERS:
        raise EvidenceRefused("name", f"must have at most {MAXIMUM_NAME_CHARACTERS} characters")
    if any(sign in name for sign in "/\\:") or name.strip(". ") == "":
        raise EvidenceRefused("name", "must be a file's name without a path")
    if any(sign in _TURNS_TEXT for sign in name):
        raise EvidenceRefused("name", "must not hold signs that turn the direction of the text")
    if any(unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for sign in name):
        raise EvidenceRefused("name", "must not hold control characters")
    return unicodedata.normalize("NFC", name).strip()


def _type_of(content: bytes) -> EvidenceType:
    if content.startswith(_PNG):
        _require_bounded(_png_size(content))
        return EvidenceType.PNG
    if content.startswith(_JPEG):
        _require_bounded(_jpeg_size(content))
        return EvidenceType.JPEG
    if content.startswith(_PDF):
        return EvidenceType.PDF
    if _is_plain_text(content):
        return EvidenceType.TEXT
    raise EvidenceRefused("file", "must be a PDF, a PNG, a JPEG or plain text in UTF-8, by its content")


def _require_bounded(size: tuple[int, int] | None) -> None:
    if size is None or 0 in size:
        raise EvidenceRefused("file", "must be a picture that says its size")
    if size[0] * size[1] > LARGEST_PICTURE_PIXELS:
        raise EvidenceRefused(
            "file",
            f"must be a picture of at most {LARGEST_PICTURE_PIXELS} points, not {size[0]} by {size[1]}",
        )


def _png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height by the first chunk, which must be the header; None where there is none."""
    if len(content) < 24 or content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """The largest width and height that a frame names; None where none does before the picture itself."""
    place, largest = 2, None
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            break
        marker = content[place + 1]
        if marker in {0x01, 0xFF} or 0xD0 <= marker <= 0xD8:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", content[place + 2 : place + 4])
        if marker in _JPEG_FRAMES and place + 9 <= len(content):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            largest = (width, height) if largest is None else max(largest, (width, height), key=_points)
        if marker in {0xD9, 0xDA} or length < 2:
            break
        place += 2 + length
    return largest


def _points(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _is_plain_text(content: bytes) -> bool:
    """Whether it is UTF-8 without control characters but line breaks and tabs, and no markup of a page."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if any(unicodedata.category(sign) == "Cc" and sign not in "\t\r\n" for sign in set(text)):
        return False
    # With "nosniff" no browser would show it as a page; a reader's other programs may.
    beginning = text.lstrip("\ufeff \t\r\n")[:20].casefold()
    return not beginning.startswith(("<!doctype", "<html", "<script", "<svg", "<?xml", "#!", "%!ps"))
