"""Reading the form of a POST: urlencoded, small, each field once."""

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from serving.requests.door import is_coded
from serving.requests.route_declaration import FORM_BODY_BYTES

MAXIMUM_FIELDS = 200


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPException (400, 413, 415).

    A repeated field is refused: whoever sends two values means one of them to be overlooked. So are control
    characters other than line breaks and tabs, which PostgreSQL cannot keep.
    """
    body = await _body(request)
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if body and content_type != "application/x-www-form-urlencoded":
        raise HTTPException(415, "A form is expected")
    if body and is_coded(request):
        raise HTTPException(415, "A form is sent as it is, not compressed")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAXIMUM_FIELDS,
        )
    except ValueError as problem:
        raise HTTPException(400, "The form cannot be read") from problem
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise HTTPException(400, f"The field {name} occurs twice")
        if any(ord(letter) < 32 and letter not in "\t\r\n" for letter in value):
            raise HTTPException(400, f"The field {name} has a control character")
        # A browser sends CRLF for every line break, whichever the text had when it was first sent.
        fields[name] = value.replace("\r\n", "\n")
    return fields


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > FORM_BODY_BYTES:
            raise HTTPException(413, f"The form is too large: at most {FORM_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
