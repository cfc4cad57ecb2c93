"""The API's own OpenAPI 3.1 document, from the contracts and from the closed lists of the domain."""

from typing import Any

from data_contracts.json_schema import json_schema
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.rules_between_rows import WaitKind
from serving.cases.possible_steps import Step
from serving.checkout.order_body import order_body_schema
from serving.domain.decision import LimitBasis, Outcome
from serving.domain.investigation import Finding, InvestigationState, Trigger
from serving.domain.policy import ALTERNATIVE_NAMES
from serving.domain.stop_request import (
    MAXIMUM_CARRIER_CHARACTERS,
    MAXIMUM_NOTE_CHARACTERS,
    MAXIMUM_TRACKING_NUMBER_CHARACTERS,
    AnswerKind,
    ConsequenceCode,
    RecallResult,
    StopRequestState,
)

_TEXT = {"type": "string"}
_INSTANT = {"type": "string", "format": "date-time"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_CENTS_OR_NULL = {"type": ["integer", "null"], "description": "minor units of the order's currency"}


def _object(properties: dict[str, Any], *, required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _waits_for(**more: dict[str, Any]) -> dict[str, Any]:
    return _object({"kind": {"enum": [kind.value for kind in WaitKind]}, "id": _TEXT, **more})


def _decision_schema() -> dict[str, Any]:
    rule = {"code": _TEXT, "group": _TEXT, "field": _TEXT_OR_NULL}
    return _object(
        {
            "decision_id": {**_TEXT_OR_NULL, "description": "null for an answer that is not kept"},
            "order_id": _TEXT,
            "merchant_order_number": {**_TEXT_OR_NULL, "description": "the merchant's own; null without one"},
            "outcome": {"enum": [outcome.value for outcome in Outcome]},
            "score": {"type": ["integer", "null"], "minimum": 100, "maximum": 999},
            "probability_of_default": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "limit_cents": _CENTS_OR_NULL,
            "available_cents": _CENTS_OR_NULL,
            "limit_basis": {
                "enum": [*(basis.value for basis in LimitBasis), None],
                "description": "what bounds the limit; null where none was computed, or where the policy's "
                "limits do not grow with what was repaid",
            },
            "reasons": {**_list(_object({**rule, "text": _TEXT})), "maxItems": 4},
            "failed_rules": _list(_object(rule)),
            "alternatives": _list({"enum": sorted(ALTERNATIVE_NAMES)}),
            "recourse": _list(
                _object(
                    {"code": _TEXT, "field": _TEXT_OR_NULL, "text": _TEXT, "sufficient": {"type": "boolean"}}
                )
            ),
            "model": {
                "oneOf": [{"type": "null"}, _object({"name": _TEXT, "version": _TEXT})],
            },
            "policy_version": _TEXT,
            "decided_at": {"type": "string", "format": "date-time"},
            "degraded": {"type": "boolean"},
        },
        required=["order_id", "outcome", "alternatives"],
    ) | {
        "description": "A merchant's key sees decision_id, order_id, merchant_order_number, outcome and "
        "alternatives only."
    }


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {
        "Order": order_body_schema(),
        "Decision": _decision_schema(),
        "Problem": _object(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "errors": _list(_object({"pointer": _TEXT, "detail": _TEXT})),
                "errors_not_listed": {"type": "integer", "description": "how many more errors there are"},
            },
            required=["type", "title", "status"],
        ),
        "OrderState": _object(
            {
                "order_id": _TEXT,
                "merchant_order_number": _TEXT_OR_NULL,
                "decision_id": _TEXT,
                "outcome": _TEXT,
                "state": _TEXT,
            },
            required=["order_id"],
        ),
        "EventResults": _object(
            {
                "accepted": {"type": "integer"},
                "repeated": {"type": "integer"},
                "held": {"type": "integer"},
                "rejected": {"type": "integer"},
                "results": _list(
                    _object(
                        {
                            "event_id": _TEXT_OR_NULL,
                            "contract": _TEXT_OR_NULL,
                            "status": {"enum": ["accepted", "repeated", "held", "rejected"]},
                            "errors": _list(_object({"pointer": _TEXT, "detail": _TEXT})),
                            "errors_not_listed": {
                                "type": "integer",
                                "description": "how many more errors the row has",
                            },
                            "detail": {**_TEXT, "description": "as which event a transfer came before"},
                            "waits_for": _waits_for(),
                            "readmitted": {
                                **_list(_TEXT),
                                "description": "event_ids of held rows that entered with this one",
                            },
                        },
                        required=["status"],
                    )
                ),
            }
        ),
        "HeldEvents": _object(
            {
                "held": _list(
                    _object(
                        {
                            "event_id": _TEXT,
                            "contract": _TEXT,
                            "customer_id": _TEXT,
                            "merchant_id": {**_TEXT, "description": "of a merchant's own row"},
                            "ids": {"type": "object", "additionalProperties": _TEXT},
                            "waits_for": _waits_for(text=_TEXT),
                            "since": _INSTANT,
                        },
                        required=["event_id", "contract", "ids", "waits_for", "since"],
                    )
                ),
                "next": {**_TEXT_OR_NULL, "description": "the parameter `after` of the next page"},
                "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            }
        ),
        "EndReason": _object({"reason": {"type": "string", "minLength": 1, "maxLength": 2000}}),
        "EndedEvent": _object(
            {
                "event_id": _TEXT,
                "contract": _TEXT,
                "ended_at": _INSTANT,
                "ended_by": _TEXT,
                "reason": _TEXT,
            }
        ),
        "Case": _object(
            {
                **{name: {"type": "string"} for name in _CASE_TEXTS},
                "amount_cents": {"type": "integer"},
                "saving_lost_per_hour_cents": {"type": "integer"},
                "probability_of_fraud": {"type": "number"},
                "left": {"type": "boolean"},
                "recallable": {"type": "boolean"},
                "is_overdue": {"type": "boolean"},
                "reopened_count": {"type": "integer"},
                "reviewer": {"type": ["string", "null"]},
                "verdict": {"enum": ["released", "stop", None]},
                "reasons": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "CaseQueue": _object(
            {
                "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
                "cases": _list(_reference("Case")),
            }
        ),
        "CaseStep": {
            "type": "object",
            "description": "note for the step note, outcome for contact-outcome, reason for reopen",
            "properties": {
                name: {"type": "string", "maxLength": 4000} for name in ("note", "outcome", "reason")
            },
            "additionalProperties": False,
        },
        "StopAnswer": {
            "type": "object",
            "properties": {
                "kind": {"enum": [kind.value for kind in AnswerKind]},
                "carrier": {"type": ["string", "null"], "maxLength": MAXIMUM_CARRIER_CHARACTERS},
                "tracking_number": {
                    "type": ["string", "null"],
                    "maxLength": MAXIMUM_TRACKING_NUMBER_CHARACTERS,
                    "description": "with carrier, required for shipped_with_tracking",
                },
                "note": {"type": ["string", "null"], "maxLength": MAXIMUM_NOTE_CHARACTERS},
            },
            "required": ["kind"],
            "additionalProperties": False,
        },
        "StopRequest": _object(
            {
                "stop_request_id": _TEXT,
                "order_id": _TEXT,
                "merchant_order_number": _TEXT_OR_NULL,
                "state": {"enum": [state.value for state in StopRequestState]},
                "requested_at": _INSTANT,
                "answer_due_at": {"type": ["string", "null"], "format": "date-time"},
                "answers": _list({"type": "object"}),
                "consequences": _list(
                    _object({"code": {"enum": [code.value for code in ConsequenceCode]}, "text": _TEXT})
                ),
                "recall": {"type": ["object", "null"]},
            }
        ),
        "InvestigationReason": _object({"reason": _TEXT}),
        "InvestigationFinding": _object({"finding": {"enum": [finding.value for finding in Finding]}}),
        "MerchantQuestion": _object({"question": _TEXT, "asked_at": _INSTANT}, required=["question"]),
        "Investigation": _object(
            {
                "case_id": _TEXT,
                "state": {"enum": [state.value for state in InvestigationState]},
                "trigger": {"enum": [trigger.value for trigger in Trigger]},
                "merchant_answers": _list({"type": "object"}),
                "questions": _list({"type": "object"}),
                "finding": _TEXT_OR_NULL,
                "outcome": _TEXT_OR_NULL,
            }
        ),
        "RecallResult": _object({"result": {"enum": [result.value for result in RecallResult]}}),
        "Delivery": _object(
            {
                "delivery_id": _TEXT,
                "event_type": _TEXT,
                "channel": {"enum": ["webhook", "email"]},
                "is_copy_to_contact_before": {"type": "boolean"},
                "state": {"enum": ["waiting", "delivered", "gone", "given_up", "dropped"]},
                "next_attempt_at": {"type": ["string", "null"], "format": "date-time"},
                "attempts": _list({"type": "object"}),
            }
        ),
        "ReviewRequest": {
            "type": "object",
            "properties": {"note": {"type": ["string", "null"], "maxLength": 2000}},
            "additionalProperties": False,
        },
    }
    for contract in ALL_CONTRACTS:
        schema = {name: value for name, value in json_schema(contract).items() if name != "$schema"}
        schema["properties"] = {"contract": {"const": contract.name}, **schema["properties"]}
        schema["required"] = ["contract", *schema["required"]]
        schemas[f"event_{contract.name}"] = schema
    event = {"oneOf": [_reference(f"event_{contract.name}") for contract in ALL_CONTRACTS]}
    schemas["Event"] = event | {
        "discriminator": {
            "propertyName": "contract",
            "mapping": {c.name: f"#/components/schemas/event_{c.name}" for c in ALL_CONTRACTS},
        }
    }
    schemas["Events"] = {"oneOf": [_reference("Event"), _object({"events": _list(_reference("Event"))})]}
    return schemas


_CASE_TEXTS = (
    "case_id",
    "order_id",
    "customer_id",
    "merchant_id",
    "state",
    "origin",
    "currency",
    "opened_at",
    "due_at",
    "handover_at",
)

_BY_NUMBER = {
    "merchant_id": {
        **_TEXT,
        "description": "then the path names the order by this merchant's own number; a merchant key does so "
        "without it",
    }
}

_PROBLEMS = {
    400: "the Idempotency-Key is not valid",
    401: "the API key is missing or not known",
    403: "the API key does not allow this",
    404: "there is no such thing, or it is not the caller's",
    409: "what is stored does not allow this step any more",
    408: "the body came too slowly; nothing was begun",
    413: "the body is too large",
    415: "the body is not application/json",
    422: "the body is malformed, each bad field is named; or the Idempotency-Key came with another body",
    429: "a merchant's key asked as often as the policy allows; Retry-After says when it may ask again",
    503: "the store did not answer, or was locked for too long; nothing was changed, now or later",
    504: "the outcome is not known; the same request again, with the same Idempotency-Key, tells what was "
    "done",
}


def _operation(
    name: str,
    summary: str,
    *,
    answer: str,
    body: str | None = None,
    body_required: bool = True,
    path_parameter: str | None = None,
    query: dict[str, dict[str, Any]] | None = None,
    idempotent: bool = False,
    status: int = 200,
) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": parameter, "in": "query", "required": False, "schema": schema}
        for parameter, schema in (query or {}).items()
    ]
    if path_parameter is not None:
        parameters.append({"name": path_parameter, "in": "path", "required": True, "schema": _TEXT})
    if idempotent:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {
            str(status): {
                "description": "the answer",
                "content": {"application/json": {"schema": _reference(answer)}},
            },
            **{
                str(code): {
                    "description": text,
                    "content": {"application/problem+json": {"schema": _reference("Problem")}},
                }
                for code, text in _PROBLEMS.items()
            },
        },
    }
    # The server that gives up on a request says so in its own form.
    operation["responses"]["504"]["content"]["application/json"] = {"schema": _object({"error": _TEXT})}
    if body is not None:
        operation["requestBody"] = {
            "required": body_required,
            "content": {"application/json": {"schema": _reference(body)}},
        }
    return operation


def openapi_document() -> dict[str, Any]:
    """The document that GET /v1/openapi.json serves."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bonitas",
            "version": "1",
            "description": "Pay by invoice: one order in, one decision out. Amounts are whole minor units.",
        },
        "security": [{"apiKey": []}],
        "paths": {
            "/v1/score": {
                "post": _operation(
                    "score",
                    "Decide one order and reserve its amount",
                    answer="Decision",
                    body="Order",
                    idempotent=True,
                )
            },
            "/v1/precheck": {
                "post": _operation(
                    "precheck", "What the answer would be; nothing is kept", answer="Decision", body="Order"
                )
            },
            "/v1/events": {
                "post": _operation(
                    "events",
                    "Ledger rows, one or many; each is judged for itself",
                    answer="EventResults",
                    body="Events",
                )
            },
            "/v1/events/held": {
                "get": _operation(
                    "heldEvents",
                    "Rows that wait for something that has not arrived, in the order of their arrival",
                    answer="HeldEvents",
                    query={
                        "limit": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
                        "after": {**_TEXT, "description": "`next` of the page before"},
                        "contract": {"enum": [contract.name for contract in ALL_CONTRACTS]},
                        "customer_id": _TEXT,
                    },
                )
            },
            "/v1/events/held/{event_id}/end": {
                "post": _operation(
                    "endHeldEvent",
                    "Move a row that waits to quarantine; twice is harmless, and it can be sent again",
                    answer="EndedEvent",
                    body="EndReason",
                    path_parameter="event_id",
                )
            },
            "/v1/orders/{order_id}": {
                "get": _operation(
                    "order",
                    "The newest decision about an order",
                    answer="OrderState",
                    path_parameter="order_id",
                    query=_BY_NUMBER,
                )
            },
            "/v1/orders/{order_id}/confirm": {
                "post": _operation(
                    "confirm",
                    "The customer has ordered: the reservation stays until the invoice",
                    answer="OrderState",
                    path_parameter="order_id",
                    query=_BY_NUMBER,
                    idempotent=True,
                )
            },
            "/v1/orders/{order_id}/cancel": {
                "post": _operation(
                    "cancel",
                    "The order will not be: its reservation ends",
                    answer="OrderState",
                    path_parameter="order_id",
                    query=_BY_NUMBER,
                    idempotent=True,
                )
            },
            "/v1/decisions/{decision_id}": {
                "get": _operation(
                    "decision",
                    "One decision as it was given",
                    answer="Decision",
                    path_parameter="decision_id",
                )
            },
            "/v1/cases": {
                "get": _operation("cases", "Flagged orders in the order of work", answer="CaseQueue")
            },
            "/v1/cases/claim-next": {
                "post": _operation(
                    "claimNextCase", "Take the case that loses most by waiting; 204 if none", answer="Case"
                )
            },
            "/v1/cases/{case_id}": {
                "get": _operation("case", "All about a case", answer="Case", path_parameter="case_id")
            },
            **{
                f"/v1/cases/{{case_id}}/{step.value}": {
                    "post": _operation(
                        f"case_{step.name.lower()}",
                        f"Step on a case: {step.value}",
                        answer="Case",
                        body="CaseStep",
                        body_required=False,
                        path_parameter="case_id",
                        idempotent=True,
                    )
                }
                for step in Step
            },
            "/v1/cases/{case_id}/investigation": {
                "post": _operation(
                    "investigate",
                    "Investigate a case, with a reason; disputes and unpaid invoices do so by themselves",
                    answer="Investigation",
                    body="InvestigationReason",
                    path_parameter="case_id",
                )
            },
            "/v1/cases/{case_id}/investigation/question": {
                "post": _operation(
                    "askMerchant",
                    "Ask the merchant of the order for more; the answer comes by the form, as a note",
                    answer="MerchantQuestion",
                    body="MerchantQuestion",
                    path_parameter="case_id",
                )
            },
            "/v1/cases/{case_id}/investigation/finding": {
                "post": _operation(
                    "concludeInvestigation",
                    "Close the investigation with a finding; ledger and settlement follow",
                    answer="Investigation",
                    body="InvestigationFinding",
                    path_parameter="case_id",
                )
            },
            "/v1/stop-requests/{stop_request_id}": {
                "get": _operation(
                    "stopRequest",
                    "A stop request, its answers and what follows; a merchant sees its own",
                    answer="StopRequest",
                    path_parameter="stop_request_id",
                )
            },
            "/v1/stop-requests/{stop_request_id}/answer": {
                "post": _operation(
                    "answerStopRequest",
                    "The merchant says where the order stands; the same answer again is harmless",
                    answer="StopRequest",
                    body="StopAnswer",
                    path_parameter="stop_request_id",
                )
            },
            "/v1/stop-requests/{stop_request_id}/recall-result": {
                "post": _operation(
                    "finishRecall",
                    "What came of a parcel that the provider recalled",
                    answer="StopRequest",
                    body="RecallResult",
                    path_parameter="stop_request_id",
                )
            },
            "/v1/deliveries/{delivery_id}/resend": {
                "post": _operation(
                    "resendDelivery",
                    "Send a notice to a merchant again",
                    answer="Delivery",
                    path_parameter="delivery_id",
                )
            },
            "/v1/decisions/{decision_id}/review-request": {
                "post": _operation(
                    "requestReview",
                    "A person shall look at an automated refusal",
                    answer="OrderState",
                    body="ReviewRequest",
                    body_required=False,
                    path_parameter="decision_id",
                    idempotent=True,
                    status=202,
                )
            },
        },
        "components": {
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }
