"""The API's own OpenAPI 3.1 document, derived: from the route table, the types of bodies and answers, and the
table of problems. Nothing about a single route stands here.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from serving.api.domain_problems import problem_types_of
from serving.disputes.dispute_answers import DisputeWebhook
from serving.requests.answer_fields import Described, NamedSchema, schema_of_field
from serving.requests.http_requests import IDEMPOTENCY_KEY_MAXIMUM
from serving.requests.problem_details import Problem, ProblemType
from serving.requests.route_declaration import DoorKind, RouteDeclaration
from serving.stop_requests.stop_request_answers import WEBHOOKS, Webhook
from serving.topics.topic_answers import TOPIC_WEBHOOKS

_WEBHOOKS = (
    *WEBHOOKS,
    *TOPIC_WEBHOOKS,
    Webhook(
        name="dispute",
        summary="The merchant is told of a dispute: opened, asked for more, ended, charged back",
        body=DisputeWebhook,
    ),
)
_AT = "#/components/schemas/{name}"
_CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def openapi_document(routes: Iterable[RouteDeclaration]) -> dict[str, Any]:
    """The document that GET /v1/openapi.json serves, about the routes that have a name."""
    published = [route for route in routes if route.name]
    problems = {route.name: problem_types_of(route) for route in published}
    paths: dict[str, dict[str, Any]] = {}
    for route in published:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, problems[route.name])
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Bonitas",
            "version": "1",
            "description": "Pay by invoice: one order in, one decision out. Amounts are whole minor units.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "the service that served this document"}],
        "security": [{"apiKey": []}],
        "paths": paths,
        "webhooks": {webhook.name: {"post": _webhook(webhook)} for webhook in _WEBHOOKS},
        "components": {
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(published, {found for all_of in problems.values() for found in all_of}),
        },
    }
    portable: dict[str, Any] = _portable(document)
    return portable


def _operation(route: RouteDeclaration, problems: Sequence[ProblemType]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            str(route.status): {
                "description": "the answer" if len(route.answers) == 1 else "the answer, as the key sees it",
                "content": {
                    _media_type(route.answers[0]): {"schema": _any_of(route.answers)},
                    **{media_type: {"schema": {"type": "string"}} for media_type in route.also_as},
                },
            },
            **({} if route.empty is None else {"204": {"description": route.empty}}),
            **_problem_responses(problems),
        },
    }
    if route.door is DoorKind.OPEN:
        operation["security"] = []
    else:
        roles = ", ".join(sorted(role.value for role in route.roles))
        operation["description"] = f"For keys of the roles: {roles}."
        # The server that gives up on a request says so in its own form.
        late = operation["responses"].setdefault("504", {"description": "the service gave no answer in time"})
        late.setdefault("content", {})["application/json"] = {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
        }
    if route.body is not None:
        content: dict[str, Any] = {"schema": _reference(_name(route.body))}
        if route.example is not None and route.example.body is not None:
            content["example"] = route.example.body
        operation["requestBody"] = {
            "required": not route.body_is_optional,
            "content": {_media_type(route.body): content},
        }
    return operation


def _media_type(described: Described) -> str:
    return described.media_type if isinstance(described, NamedSchema) else "application/json"


def _parameters(route: RouteDeclaration) -> list[dict[str, Any]]:
    shown: dict[str, Any] = {}
    if route.example is not None:
        shown = {**route.example.path, **route.example.query}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.query is not None:
        read = _schema_of(route.query)
        for name, schema in read["properties"].items():
            is_required = name in read.get("required", ())
            parameters.append({"name": name, "in": "query", "required": is_required, "schema": schema})
    for parameter in parameters:
        if parameter["name"] in shown:
            parameter["example"] = shown[parameter["name"]]
    if route.is_idempotent:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "the same key and request get the same answer, and are done once",
                "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAXIMUM},
            }
        )
    return parameters


def _problem_responses(problems: Sequence[ProblemType]) -> dict[str, Any]:
    by_status: dict[int, list[ProblemType]] = {}
    for problem in problems:
        by_status.setdefault(problem.status, []).append(problem)
    return {
        str(status): {
            "description": "; or ".join(problem.meaning for problem in found),
            "content": {
                "application/problem+json": {"schema": _one_of([_problem_name(problem) for problem in found])}
            },
        }
        for status, found in sorted(by_status.items())
    }


def _webhook(webhook: Webhook) -> dict[str, Any]:
    return {
        "operationId": webhook.name,
        "summary": webhook.summary,
        "security": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _reference(webhook.body.__name__)}},
        },
        "responses": {"2XX": {"description": "taken; whatever else is answered, it comes again"}},
    }


def _schemas(routes: Sequence[RouteDeclaration], problems: set[ProblemType]) -> dict[str, Any]:
    described = [
        one for route in routes for one in (*route.answers, *(() if route.body is None else (route.body,)))
    ]
    structs = {one for one in described if not isinstance(one, NamedSchema)}
    structs |= {route.query for route in routes if route.query is not None}
    structs |= {webhook.body for webhook in _WEBHOOKS}
    schemas = _components([*sorted(structs, key=lambda struct: struct.__name__), Problem])
    base = schemas.pop(Problem.__name__)
    for problem in problems:
        schemas[_problem_name(problem)] = _of_problem(base, problem)
    for one in described:
        if isinstance(one, NamedSchema):
            _add(schemas, one)
    # The parameters of a query stand with their operation.
    for route in routes:
        if route.query is not None:
            schemas.pop(route.query.__name__, None)
    return dict(sorted(schemas.items()))


def _add(schemas: dict[str, Any], named: NamedSchema) -> None:
    if named.name not in schemas:
        schemas[named.name] = named.schema()
        for other in named.refers_to:
            _add(schemas, other)


def _of_problem(base: dict[str, Any], problem: ProblemType) -> dict[str, Any]:
    properties = {
        **base["properties"],
        "type": {"type": "string", "const": problem.uri},
        "status": {"type": "integer", "const": problem.status},
    }
    return {
        **base,
        "title": _problem_name(problem),
        "description": problem.meaning,
        "properties": properties,
    }


def _problem_name(problem: ProblemType) -> str:
    return "".join(part.capitalize() for part in problem.kind.split("-")) + "Problem"


def _components(structs: Iterable[type[msgspec.Struct]]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(structs, schema_hook=schema_of_field, ref_template=_AT)
    for schema in components.values():
        # The members of our enumerations are texts, which generators of clients like to be told.
        if "enum" in schema:
            schema.setdefault("type", "string")
    return components


def _schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    found: dict[str, Any] = _components([struct])[struct.__name__]
    return found


def _name(described: Described) -> str:
    return described.name if isinstance(described, NamedSchema) else described.__name__


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _AT.format(name=name)}


def _any_of(described: Sequence[Described]) -> dict[str, Any]:
    references = [_reference(_name(one)) for one in described]
    # The whole answer has every field of its part, so that both can fit.
    return references[0] if len(references) == 1 else {"anyOf": references}


def _one_of(names: Sequence[str]) -> dict[str, Any]:
    references = [_reference(name) for name in names]
    return references[0] if len(references) == 1 else {"oneOf": references}


def _portable(value: Any) -> Any:
    """The document without a control character: in a pattern, where they stand, each by its escape.

    JSON may hold some of them as they are; parsers of YAML refuse them.
    """
    if isinstance(value, dict):
        return {name: _portable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(inner) for inner in value]
    if isinstance(value, str):
        return _CONTROL_CHARACTER.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return value
