"""The contract that the service publishes: derived from the route table, valid, and true of every answer."""

import ast
import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import ValidationError
from openapi_spec_validator import validate

from data_contracts.merchants import MERCHANTS
from features.feature_sets import INVOICE_ELIGIBILITY
from serving.api import domain_problems
from serving.api.domain_problems import PROBLEM_OF, problem_types_of
from serving.checkout.order_body import EXAMPLE_ORDER
from serving.domain.decision_codes import REASON_GROUPS, RULE_CODES, RULE_GROUPS
from serving.domain.dispute import DisputeOutcome, DisputeState
from serving.domain.dispute_steps import decide
from serving.domain.errors import RiskError
from serving.domain.policy_reader import parse_policy
from serving.domain.reasons import REASON_CODES
from serving.domain.review_case import Verdict
from serving.domain.stop_request import StopRequestState
from serving.in_force.policy_activation import POLICY_FILE
from serving.requests.answer_fields import NamedSchema
from serving.requests.route_declaration import DoorKind
from serving.store.api_keys import create_key
from serving.store.deliveries import STOP_REQUEST_CREATED, WEBHOOK, enqueue
from serving.store.disputes import dispute_of, update_dispute
from serving.store.ledger import append
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import DAY, a_merchant, an_invoice
from tests.serving.case_desk import HOUR, CaseDesk
from tests.serving.http.conftest import Row, Shop, as_event
from tests.serving.http.published_contract import CONTRACT, TABLE, PublishedContract

A_JPEG = b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00\x10\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
"""A frame of 16 by 16 points, and no picture in it."""
ROOT = Path(__file__).parent.parent.parent.parent
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, operations in CONTRACT["paths"].items()
    for method, operation in operations.items()
}
PUBLISHED = [route for route in TABLE if route.name]


def test_every_route_of_the_api_is_published_with_summary_answer_and_example() -> None:
    of_api = [route for route in TABLE if route.path.startswith("/v1/")]
    assert of_api == PUBLISHED
    for route in PUBLISHED:
        assert route.summary, route.path
        assert route.answers, route.path
        assert route.example is not None, route.path
        assert set(route.example.path) == set(re.findall(r"{(\w+)}", route.path)), route.path
        is_json = not isinstance(route.body, NamedSchema) or route.body.media_type.endswith("json")
        needs_no_example = route.body is None or route.body_is_optional or not is_json
        assert (route.example.body is not None) or needs_no_example, route.path
    assert len(OPERATIONS) == len(PUBLISHED)


def test_the_document_is_valid_openapi_and_loads_as_json_and_as_yaml() -> None:
    validate(CONTRACT)
    text = json.dumps(CONTRACT, ensure_ascii=False)
    assert re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]", text) is None
    assert yaml.safe_load(text) == CONTRACT
    assert CONTRACT["servers"]
    assert set(CONTRACT["webhooks"]) == {
        "stopRequest",
        "contactChanged",
        "dispute",
        "topic",
        "settlementPosted",
    }


def test_every_problem_type_stands_for_one_cause() -> None:
    problems = {problem for route in PUBLISHED for problem in problem_types_of(route)}
    assert all(problem.kind for problem in problems), "about:blank says nothing to a program"
    assert len({problem.kind for problem in problems}) == len(problems)
    for route in PUBLISHED:
        assert set(route.problems) <= set(PROBLEM_OF), route.path
        responses = OPERATIONS[route.name][2]["responses"]
        statuses = {str(problem.status) for problem in problem_types_of(route)}
        own_form = {"504"} if route.door is not DoorKind.OPEN else set()
        assert {status for status in responses if status >= "400"} == statuses | own_form


def test_a_use_case_knows_no_status_code() -> None:
    """They raise errors of the domain; the table of problems is the one place that says what those are."""
    for folder in ("domain", "checkout", "events", "cases", "disputes", "stop_requests", "screening"):
        for file in sorted((ROOT / "serving" / folder).glob("*.py")):
            names = {
                alias.name
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.ImportFrom) and node.module == "serving.requests.problem_details"
                for alias in node.names
            }
            assert names <= {"ERRORS_MAXIMUM"}, f"{file.name} imports {names}"


OPEN_DOCUMENTS = {
    "order_body_schema": "a JSON Schema",
    "amendment_schema": "a JSON Schema",
    "after_step": "the detail of an entry of the history, which differs by action",
}


def test_a_use_case_answers_in_a_type() -> None:
    """What crosses a module's border has its names checked; a dict has not."""
    for folder in (
        "checkout",
        "events",
        "cases",
        "disputes",
        "stop_requests",
        "screening",
        "merchant_form",
    ):
        for file in sorted((ROOT / "serving" / folder).glob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    answer = "" if node.returns is None else ast.unparse(node.returns)
                    assert not re.search(r"(dict|Mapping)\[str, (Any|object)\]", answer) or (
                        node.name in OPEN_DOCUMENTS
                    ), f"{file.name}: {node.name} answers {answer}"


def test_a_problem_of_the_table_keeps_status_and_type_on_its_way_out() -> None:
    for error, problem in PROBLEM_OF.items():
        if issubclass(error, RiskError) and error.__init__ is RiskError.__init__:
            told = domain_problems.problem_of(error("why"))
            assert (told.status, told.type, told.detail) == (problem.status, problem.uri, "why")


def test_the_closed_lists_of_codes_are_those_of_the_rules() -> None:
    codes: set[str] = set()
    groups: set[str] = set()
    for file in (ROOT / "serving" / "domain").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "RuleFailure":
                continue
            given = {word.arg: word.value for word in node.keywords}
            group = given["group"]
            assert isinstance(group, ast.Constant)
            groups.add(group.value)
            if isinstance(given["code"], ast.Constant):
                codes.add(given["code"].value)
    assert codes <= RULE_CODES
    assert groups == RULE_GROUPS
    assert RULE_CODES - {"score_below_cut_off"} <= REASON_CODES
    assert {feature.group.value for feature in INVOICE_ELIGIBILITY.features} <= REASON_GROUPS
    assert {feature.reason_code for feature in INVOICE_ELIGIBILITY.features} <= REASON_CODES


def test_an_answer_that_is_not_declared_is_found() -> None:
    contract = PublishedContract()
    asked = httpx.Request("GET", "http://x/v1/orders/o1")
    good = {
        "order_id": "o1",
        "merchant_order_number": None,
        "decision_id": "d1",
        "outcome": "approved",
        "alternatives": [],
    }
    contract.check(httpx.Response(200, json=good, request=asked))
    for bad in ({**good, "colour": "red"}, {**good, "outcome": "perhaps"}, {"order_id": "o1"}):
        with pytest.raises(ValidationError):
            contract.check(httpx.Response(200, json=bad, request=asked))
    with pytest.raises(AssertionError, match="answered 418"):
        contract.check(httpx.Response(418, json=good, request=asked))


class Sender:
    """Sends the examples of the published document, each as it stands but for the ids that we make."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.sent: set[str] = set()

    def send(self, name: str, key: str | None = None, **ids: str) -> Any:
        method, path, operation = OPERATIONS[name]
        self.sent.add(name)
        query = {}
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                value = ids.get(parameter["name"], parameter["example"])
                path = path.replace(f"{{{parameter['name']}}}", value)
            elif parameter["in"] == "query" and "example" in parameter:
                query[parameter["name"]] = parameter["example"]
        content = operation.get("requestBody", {}).get("content", {})
        body = content.get("application/json", {}).get("example")
        usual = self.shop.ledger_key if name == "settlementNote" else self.shop.usual_key(path)
        headers = {"Authorization": f"Bearer {key or usual}"}
        if "application/octet-stream" in content:
            headers["Content-Type"] = "application/octet-stream"
            answer = self.shop.client.request(method, path, params=query, content=A_JPEG, headers=headers)
        else:
            answer = self.shop.client.request(method, path, params=query, json=body, headers=headers)
        assert 200 <= answer.status_code < 300, f"{name}: {answer.status_code} {answer.text}"
        return answer.json() if answer.headers["content-type"].endswith("json") else answer.content


def test_the_example_of_every_operation_can_be_sent(shop: Shop) -> None:
    sender = Sender(shop)
    store = open_store(shop.settings.database_url)
    try:
        team = create_key(store, name="contract-team", role="fraud", merchant_id=None, now_ms=now_ms())
        portal = create_key(store, name="contract-app", role="portal", merchant_id=None, now_ms=now_ms())
        merchant = a_merchant("merchant-1", event_id="merchant-1", at=now_ms() - 500 * DAY)
        with store.writing("merchant-1") as tx:
            append(tx, MERCHANTS, {k: v for k, v in merchant.items() if k != "recorded_at"}, now_ms())
        desk = CaseDesk(store, parse_policy(POLICY_FILE.read_text()), now=now_ms() - 2 * HOUR)
        desk.order("8001")
        desk.order("8002")
        desk.decided(Verdict.STOP, case_id="case8002")
        desk.stop_request(StopRequestState.REQUESTED, case_id="case8002")
        with store.writing("someone") as tx:
            enqueue(
                tx,
                delivery_id="stp_case8002-created",
                merchant_id="m1",
                stop_request_id="stp_case8002",
                event_type=STOP_REQUEST_CREATED,
                channel=WEBHOOK,
                body="{}",
                now_ms=now_ms(),
            )
    finally:
        store.close()
    shop.customer(EXAMPLE_ORDER["customer_id"])

    for name in ("openapi", "precheck", "score", "order", "confirm", "amend", "extend", "ship", "cancel"):
        sender.send(name)
    customer_id = EXAMPLE_ORDER["customer_id"]
    shop.score("o-rest", customer_id, amount_cents=9_000)
    invoice = an_invoice("i-rest", customer_id, at=now_ms(), order_id="o-rest", amount_cents=8_000)
    shop.events(as_event("invoices", invoice))
    sender.send("invoice", invoice_id="i-rest")
    for name in ("release", "credit"):
        sender.send(name, order_id="o-rest")
    announced: Row = sender.send("announceReturn", portal, order_id="o-rest")
    for name in ("goodsReturn", "confirmReturn", "bookReturn"):
        sender.send(name, return_id=announced["return_id"])
    sender.send("customerReturns", portal)
    sender.send("goodsReturns")
    declined: Row = shop.score("o-contract", "nobody-knows")
    for name in ("decision", "requestReview"):
        sender.send(name, decision_id=declined["decision_id"])
    for name in ("events", "heldEvents", "endHeldEvent", "settlementNote"):
        sender.send(name)

    case = {"case_id": "case8001"}
    sender.send("cases", team)
    sender.send("claimNextCase", team)
    for step in ("claim", "note", "give_back", "claim", "contact", "contact_outcome", "stop", "undo"):
        sender.send(f"case_{step}", team, **case)
    for step in ("release", "reopen", "claim", "stop", "withdraw"):
        sender.send(f"case_{step}", team, **case)
    stopped = {"case_id": "case8002"}
    for name in ("investigate", "askMerchant", "concludeInvestigation", "case"):
        sender.send(name, team, **stopped)
    sender.send("resendDelivery", team, delivery_id="stp_case8002-created")
    asked = {"stop_request_id": "stp_case8002"}
    sender.send("stopRequests", team)
    sender.send("stopRequest", team, **asked)
    sender.send("answerStopRequest", shop.merchant_key, **asked)
    sender.send("finishRecall", team, **asked)
    for name in ("webhookTopics", "chooseWebhookTopic", "openItems"):
        sender.send(name, shop.merchant_key)

    send_steps_of_disputes(sender, shop)
    assert sender.sent == set(OPERATIONS)


def send_steps_of_disputes(sender: Sender, shop: Shop) -> None:
    customer_id = EXAMPLE_ORDER["customer_id"]
    with closing(open_store(shop.settings.database_url)) as store:
        portal = create_key(store, name="contract-desk-app", role="portal", merchant_id=None, now_ms=now_ms())
        seller = create_key(
            store, name="contract-shop", role="merchant", merchant_id="merchant-1", now_ms=now_ms()
        )

    def disputed(order_id: str) -> Row:
        shop.score(order_id, customer_id, merchant_id="merchant-1", amount_cents=4_990)
        billed = an_invoice(f"i-{order_id}", customer_id, at=now_ms(), order_id=order_id, amount_cents=4_990)
        shop.events(as_event("invoices", billed))
        opened = sender.send("openDispute", portal, order_id=order_id)
        return {"dispute_id": opened["dispute_id"]}

    dispute = disputed("order-disputed")
    sender.send("customerDisputes", portal)
    sender.send("merchantDisputes", seller)
    sender.send("dispute", seller, **dispute)
    sender.send("answerDispute", seller, **dispute)
    file = sender.send("addDisputeFile", seller, **dispute)
    assert sender.send("disputeFile", seller, file_id=file["file_id"], **dispute) == A_JPEG
    sender.send("stateReason", portal, **dispute)
    sender.send("withdrawDispute", portal, **dispute)
    sender.send("giveIn", seller, **disputed("order-given-up"))
    decided = disputed("order-decided")
    with closing(open_store(shop.settings.database_url)) as store, store.writing(customer_id) as tx:
        known = dispute_of(tx, decided["dispute_id"])
        assert known is not None
        ended = decide(
            replace(known, state=DisputeState.DECIDING, claimed_by="sue"),
            DisputeOutcome.FOR_MERCHANT,
            award_cents=None,
            text="By the photos.",
            by="sue",
            at_ms=now_ms(),
        )
        update_dispute(tx, ended, version_before=known.version)
    sender.send("complain", portal, **decided)
