"""Ledger rows as an integrator sends them: what is taken, held and refused, and what waits."""

from typing import Any

import pytest

from data_contracts.instants import rfc3339
from data_contracts.order_outcomes import ORDER_OUTCOMES
from serving.store.store import now_ms
from tests.builders import (
    DAY,
    Row,
    a_customer,
    a_pause,
    a_payment,
    a_row,
    an_adjustment,
    an_invoice,
    an_order,
)
from tests.serving.http.conftest import Shop, as_event, order_body

# At no whole second, so that an instant of the tests is no date.
AT = (now_ms() - 30 * DAY) // 1000 * 1000 + 137


class Sender:
    """Sends rows about one customer with an order of EUR 89.90, and says what became of them."""

    def __init__(self, shop: Shop, name: str) -> None:
        self.shop, self.name = shop, name
        shop.customer(name)
        self.order_id, self.customer_id = f"o-{name}", name
        self.sends(self.order(self.order_id, amount_cents=8_990))

    def order(self, order_id: str, **changes: Any) -> Row:
        event_id = changes.pop("event_id", f"{order_id}-ordered")
        row = an_order(order_id, self.customer_id, event_id=event_id, at=AT, vat_cents=0, **changes)
        return as_event("orders", row)

    def invoice(self, number: int, amount_cents: int, **changes: Any) -> Row:
        invoice_id = f"i-{self.name}-{number}"
        changes = {"order_id": self.order_id, "at": AT + DAY, "event_id": invoice_id, **changes}
        return as_event(
            "invoices", an_invoice(invoice_id, self.customer_id, amount_cents=amount_cents, **changes)
        )

    def about(self, contract: str, build: Any, number: int, event_id: str, **changes: Any) -> Row:
        row = build(
            f"i-{self.name}-{number}", self.customer_id, event_id=f"{self.name}-{event_id}", **changes
        )
        return as_event(contract, row)

    def credit_note(self, number: int, amount_cents: int, event_id: str) -> Row:
        return self.about(
            "invoice_adjustments", an_adjustment, number, event_id, at=AT + 2 * DAY, amount_cents=amount_cents
        )

    def refund(self, number: int, amount_cents: int, event_id: str) -> Row:
        return self.about(
            "invoice_adjustments", an_adjustment, number, event_id,
            at=AT + 9 * DAY, amount_cents=amount_cents, kind="refund",
        )  # fmt: skip

    def payment(self, number: int, amount_cents: int, event_id: str, **changes: Any) -> Row:
        changes = {"at": AT + 5 * DAY, **changes}
        return self.about(
            "invoice_payments", a_payment, number, event_id, amount_cents=amount_cents, **changes
        )

    def sends(self, *events: Row) -> list[Row]:
        answer = self.shop.post("/v1/events", {"events": list(events)})
        assert answer.status_code == 200, answer.text
        results: list[Row] = answer.json()["results"]
        return results

    def statuses(self, *events: Row) -> list[str]:
        return [result["status"] for result in self.sends(*events)]

    def waits(self, **parameters: str) -> list[Row]:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        answer = self.shop.get(f"/v1/events/held?customer_id={self.customer_id}&{query}")
        assert answer.status_code == 200, answer.text
        held: list[Row] = answer.json()["held"]
        return held


def test_an_invoice_of_a_hundred_times_its_order_is_refused_and_alarmed(shop: Shop) -> None:
    sender = Sender(shop, "hundredfold")
    before = shop.client.get("/metrics").text
    (result,) = sender.sends(sender.invoice(1, 899_000))
    assert (result["status"], result["errors"][0]["pointer"]) == ("rejected", "/events/0/amount_cents")
    log = [line for line in server_log(shop) if "i-hundredfold-1" in line]
    assert any('"level": "error"' in line and '"event": "invoice_not_taken"' in line for line in log)
    assert figure(shop.client.get("/metrics").text, "bonitas_refused_invoices_total") == 1 + figure(
        before, "bonitas_refused_invoices_total"
    )


def server_log(shop: Shop) -> list[str]:
    return (shop.settings.home / "server.log").read_text().splitlines()


def figure(metrics: str, name: str) -> float:
    return next(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name))


def test_of_two_states_in_one_body_from_a_clock_ahead_the_later_stands_in_whatever_order(shop: Shop) -> None:
    for name, arrival in (("in-step", (0, 1)), ("in-reverse", (1, 0))):
        sender = Sender(shop, name)
        ahead = now_ms() + 60_000
        states = [
            as_event("customers", a_customer(name, event_id=f"{name}-{status}", at=ahead + 1_000 * place,
                                             identity_status=status))
            for place, status in enumerate(("verified", "unverified"))
        ]  # fmt: skip
        assert sender.statuses(*(states[place] for place in arrival)) == ["accepted", "accepted"]
        reasons = shop.score(f"o-{name}-2", name)["reasons"]
        assert "identity_not_verified" in {reason["code"] for reason in reasons}


def test_an_order_is_invoiced_anew_after_a_credit_note_whichever_comes_first(shop: Shop) -> None:
    sender = Sender(shop, "anew")
    second, first = sender.invoice(2, 8_990), sender.invoice(1, 8_990)
    credit_note = sender.credit_note(1, 8_990, "credit")
    assert sender.statuses(second, first, first) == ["accepted", "held", "repeated"]
    (waiting,) = sender.waits()
    assert waiting["waits_for"] == {
        "kind": "credit_note",
        "id": "o-anew",
        "text": "a credit note that makes room on order o-anew",
    }
    assert any("i-anew-1" in line and '"rule": "sum_above_order"' in line for line in server_log(shop))
    metrics = shop.client.get("/metrics").text
    assert 'bonitas_held_rows{waits_for="credit_note"}' in metrics
    assert 'bonitas_due_work_oldest_seconds{kind="look_first"}' in metrics
    assert "bonitas_decisions_not_followed" in metrics
    (entered,) = sender.sends(credit_note)
    assert (entered["status"], entered["readmitted"]) == ("accepted", ["i-anew-1"])
    assert sender.waits() == []


def test_rows_that_contradict_what_they_refer_to_are_refused_at_the_field(shop: Shop) -> None:
    sender = Sender(shop, "contrary")
    sender.sends(sender.invoice(1, 5_000), sender.payment(1, 5_000, "paid"))
    future = rfc3339(now_ms() + DAY)
    customer = as_event("customers", a_customer("contrary", event_id="contrary-2", at=AT))
    refused = {
        "amount_cents": [
            sender.credit_note(1, 5_001, "too-much"),
            sender.order("o-contrary", event_id="lower", corrects="o-contrary-ordered", amount_cents=4_999),
        ],
        "currency": [
            sender.invoice(2, 1, currency="SEK"),
            sender.order("o-contrary", event_id="sek", corrects="o-contrary-ordered", currency="SEK"),
        ],
        "email_confirmed_at": [{**customer, "email_confirmed_at": future}],
        "registered_at": [{**customer, "registered_at": future}],
        "birth_date": [{**customer, "birth_date": rfc3339(now_ms() + 2 * DAY)[:10]}],
        "occurred_at": [{**customer, "occurred_at": rfc3339(now_ms() + 400_000)}],
        "corrects": [{**customer, "corrects": "contrary-2"}],
    }
    for column, events in refused.items():
        for event in events:
            (result,) = sender.sends(event)
            assert (result["status"], result["errors"][0]["pointer"]) == ("rejected", f"/events/0/{column}")
    one = {**customer, "event_id": "circle-1", "corrects": "circle-2"}
    other = {**customer, "event_id": "circle-2", "corrects": "circle-1"}
    assert sender.statuses(one, other) == ["held", "rejected"]
    assert sender.waits() == []


@pytest.mark.parametrize("kind", ["dispute_decided_for_customer", "dispute_decided_for_merchant"])
def test_what_lacks_only_what_has_not_arrived_waits_for_it(shop: Shop, kind: str) -> None:
    assert kind in (ORDER_OUTCOMES.column("kind").allowed or ())
    sender = Sender(shop, f"early-{kind[-8:]}")
    columns = {"order_id": sender.order_id, "customer_id": sender.customer_id, "kind": kind}
    outcome = as_event("order_outcomes", a_row("order_outcomes", f"{kind}-1", AT + 9 * DAY, None, **columns))
    dispute = sender.about("invoice_pauses", a_pause, 1, "pause", started_at=AT + 2 * DAY)
    assert sender.statuses(outcome, sender.refund(1, 100, "back"), dispute) == ["held"] * 3
    assert [row["waits_for"]["kind"] for row in sender.waits()] == [
        "invoice_of_order",
        "invoices",
        "invoices",
    ]
    (invoice,) = sender.sends(sender.invoice(1, 8_990))
    assert set(invoice["readmitted"]) == {dispute["event_id"], outcome["event_id"]}
    (payment,) = sender.sends(sender.payment(1, 100, "paid"))
    assert payment["readmitted"] == [f"{sender.name}-back"]


def test_true_rows_of_banks_and_of_other_machines_are_taken(shop: Shop) -> None:
    sender = Sender(shop, "true")
    whole_second = sender.invoice(1, 4_000, at=AT // 1000 * 1000)
    midnight = AT // DAY * DAY
    date_alone = sender.payment(1, 1_000, "date", at=midnight)
    in_advance = sender.payment(1, 1_000, "advance", at=AT - 90 * DAY)
    ahead = {**sender.payment(1, 1_000, "ahead"), "occurred_at": rfc3339(now_ms() + 2_000)}
    assert sender.statuses(whole_second, date_alone, in_advance, ahead) == ["accepted"] * 4


def test_one_transfer_under_two_event_ids_counts_once(shop: Shop) -> None:
    sender = Sender(shop, "twice")
    sender.sends(sender.invoice(1, 8_990))
    first, again = (sender.payment(1, 3_000, name, bank_reference="TRX 2026/77") for name in ("one", "two"))
    other = sender.payment(1, 2_999, "three", bank_reference="TRX 2026/77")
    results = sender.sends(first, again, again, other)
    assert [result["status"] for result in results] == ["accepted", "repeated", "repeated", "rejected"]
    assert first["event_id"] in results[1]["detail"]
    assert first["event_id"] in results[3]["errors"][0]["detail"]
    corrected = {**first, "event_id": "twice-four", "corrects": first["event_id"], "amount_cents": 2_000}
    assert sender.statuses(corrected) == ["accepted"]


@pytest.mark.parametrize("kind", ["invoices", "order_events"])
def test_what_waited_for_an_order_ends_the_reservation_of_its_decision(shop: Shop, kind: str) -> None:
    name = f"early-{kind.replace('_', '-')}"
    shop.customer(name)
    ids = {"order_id": f"o-{name}", "event_id": f"{name}-1"}
    if kind == "invoices":
        row = an_invoice(f"i-{name}", name, at=now_ms(), amount_cents=5_000, **ids)
    else:
        ids["customer_id"] = name
        row = a_row(kind, ids.pop("event_id"), now_ms(), None, kind="cancelled", **ids)
    assert shop.post("/v1/events", as_event(kind, row)).json()["held"] == 1
    before = shop.post("/v1/precheck", order_body(f"o-{name}-2", name)).json()["available_cents"]
    assert shop.score(f"o-{name}", name)["outcome"] == "approved"
    after = shop.post("/v1/precheck", order_body(f"o-{name}-2", name)).json()["available_cents"]
    assert before - after == (5_000 if kind == "invoices" else 0)


def test_what_waits_can_be_listed_page_by_page_and_ended_and_sent_again(shop: Shop) -> None:
    sender = Sender(shop, "waiting")
    events = [sender.payment(9, 10, f"p{number}") for number in range(3)]
    answer = shop.post("/v1/events", {"events": [*events, sender.refund(9, 10, "r")]}).json()
    assert [result["status"] for result in answer["results"]] == ["held"] * 4
    page = shop.get("/v1/events/held?customer_id=waiting&contract=invoice_payments&limit=2").json()
    rest = shop.get(f"/v1/events/held?customer_id=waiting&limit=9&after={page['next']}").json()
    names = [row["event_id"] for row in (*page["held"], *rest["held"])]
    assert names == ["waiting-p0", "waiting-p1", "waiting-p2", "waiting-r"]
    assert rest["next"] is None
    first = page["held"][0]
    assert first["ids"] == {"invoice_id": "i-waiting-9", "customer_id": "waiting"}
    assert set(first) == {"event_id", "contract", "customer_id", "ids", "waits_for", "since"}
    path = "/v1/events/held/waiting-p0/end"
    ended = shop.post(path, {"reason": "booked for another shop"})
    assert ended.status_code == 200, ended.text
    assert (ended.json()["ended_by"], ended.json()["reason"]) == ("back-office", "booked for another shop")
    assert shop.post(path, {"reason": "once more"}).json() == ended.json()
    assert [row["event_id"] for row in sender.waits()] == ["waiting-p1", "waiting-p2", "waiting-r"]
    assert sender.statuses(events[0]) == ["held"]
    (invoice,) = sender.sends(sender.invoice(9, 100))
    assert invoice["readmitted"] == ["waiting-p1", "waiting-p2", "waiting-r", "waiting-p0"]
    assert shop.post(path, {"reason": "too late"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("?limit=0", "/limit"),
        ("?limit=x", "/limit"),
        ("?after=x", "/after"),
        ("?contract=wishes", "/contract"),
        ("?customer_id=%00", "/customer_id"),
        ("?colour=red", "/colour"),
    ],
)
def test_a_page_that_is_none_is_refused_by_its_parameter(shop: Shop, path: str, pointer: str) -> None:
    answer = shop.get(f"/v1/events/held{path}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_ending_takes_a_reason_and_a_row_that_waits_and_a_checkout_s_key(shop: Shop) -> None:
    path = "/v1/events/held/nobody/end"
    assert shop.post(path, {"reason": "why"}).status_code == 404
    for body in ({}, {"reason": " "}, {"reason": 7}, {"reason": "x", "by": "me"}, {"reason": "x" * 2001}):
        assert shop.post(path, body).status_code == 422, body
    assert shop.post("/v1/events/held/%00/end", {"reason": "why"}).status_code == 404
    assert shop.post(path, {"reason": "why"}, key=shop.merchant_key).status_code == 403
    assert shop.get("/v1/events/held", key=shop.merchant_key).status_code == 403
