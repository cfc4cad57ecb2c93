"""The published contract as a judge of answers: each must be one that its operation declares."""

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from starlette.responses import Response

from serving.api.openapi import openapi_document
from serving.requests.store_access import StoreAccess
from serving.route_table import route_table

Document = dict[str, Any]


async def _nothing(_request: Any) -> Response:
    return Response()


TABLE = route_table(StoreAccess(), ready=Response, metrics=_nothing)
CONTRACT: Document = openapi_document(TABLE)


def _strict(schemas: Document) -> Document:
    """The schemas of answers without room for fields that nobody declared."""
    return {
        name: {**schema, "additionalProperties": False} if "properties" in schema else schema
        for name, schema in schemas.items()
    }


class PublishedContract:
    """Checks answers; a validator is made once for each operation and status."""

    def __init__(self, document: Document = CONTRACT) -> None:
        self._components = {"schemas": _strict(document["components"]["schemas"])}
        self._operations = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path)), method.upper(), operation)
            for path, operations in sorted(document["paths"].items(), key=lambda entry: "{" in entry[0])
            for method, operation in operations.items()
        ]
        self._validators: dict[tuple[str, str, str], Draft202012Validator] = {}

    def operation_of(self, method: str, path: str) -> Document | None:
        """What the contract says of a request; None where it says nothing."""
        return next(
            (
                operation
                for pattern, declared, operation in self._operations
                if declared == method and pattern.fullmatch(path)
            ),
            None,
        )

    def check(self, response: httpx.Response) -> None:
        """Raise AssertionError for an answer that its operation does not declare."""
        request = response.request
        # Decoded, as the service reads it: an encoded slash leads elsewhere.
        path = request.url.path
        operation = self.operation_of(request.method, path)
        if operation is None:
            return
        response.read()
        status = str(response.status_code)
        asked = f"{request.method} {path} answered {status}: {response.text[:300]}"
        assert status in operation["responses"], asked
        declared = operation["responses"][status].get("content")
        if declared is None:
            assert not response.content, asked
            return
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in declared, asked
        if media_type.endswith("json") or media_type.startswith("text/"):
            said = response.json() if media_type.endswith("json") else response.text
            self._validator(operation, status, media_type).validate(said)

    def _validator(self, operation: Document, status: str, media_type: str) -> Draft202012Validator:
        key = (operation["operationId"], status, media_type)
        if key not in self._validators:
            schema = operation["responses"][status]["content"][media_type]["schema"]
            self._validators[key] = Draft202012Validator(
                {**schema, "components": self._components}, format_checker=FormatChecker()
            )
        return self._validators[key]
