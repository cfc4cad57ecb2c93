"""An answer of a use case as the API sends it."""

from typing import Any

import msgspec

from serving.requests.wire_form import encoded


def as_sent(answer: object) -> Any:
    return msgspec.json.decode(encoded(answer))
