"""Reading what a browser sends from the form about a dispute: a few short texts and one file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from serving.merchant_form.form_body import FormUnreadable

MULTIPART = "multipart/form-data"
TEXT_FIELDS = ("step", "kind", "text", "carrier", "tracking_number", "part")
FILE_FIELD = "file"
TEXT_BYTES = 16 * 1024
"""Of one text."""


@dataclass(frozen=True, kw_only=True)
class SentFile:
    """A file as it came: its name is whatever the sender says."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class EnteredDisputeAnswer:
    """What was entered, not judged yet; None for a field that was not sent, and where no file was chosen."""

    step: str | None = None
    kind: str | None = None
    text: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    part: str | None = None
    file: SentFile | None = None


class _InMemory(MultiPartParser):
    """The body is there and bounded: no file of it goes to the disk unchecked."""

    spool_max_size = 1 << 40


async def parse_dispute_form(content_type: str, body: bytes) -> EnteredDisputeAnswer:
    """Read a `multipart/form-data` body. content_type: of the request, with its boundary.

    Raises FormUnreadable for one that is malformed, or has an unknown or repeated field.
    """

    async def whole() -> AsyncIterator[bytes]:
        yield body

    parser = _InMemory(
        Headers({"content-type": content_type}),
        whole(),  # type: ignore[arg-type]  # any asynchronous iterator is taken
        max_files=1,
        max_fields=len(TEXT_FIELDS),
        max_part_size=TEXT_BYTES,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, LookupError, ValueError) as error:
        raise FormUnreadable(f"the body is not a form: {error}") from error
    texts: dict[str, str] = {}
    file: SentFile | None = None
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != FILE_FIELD:
                raise FormUnreadable("there is no such file field")
            content = await value.read()
            # A browser sends an empty nameless file where none was chosen.
            if value.filename or content:
                file = SentFile(name=value.filename or "", content=content)
        elif name not in TEXT_FIELDS or name in texts:
            raise FormUnreadable("a field is unknown, or was sent twice")
        else:
            # A browser sends CRLF for every line break, whichever the text had when it was first sent.
            texts[name] = value.replace("\r\n", "\n")
    await form.close()
    return EnteredDisputeAnswer(**texts, file=file)
