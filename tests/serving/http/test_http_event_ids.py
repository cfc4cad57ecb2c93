"""An event_id is its sender's own: another key that sends it first neither blocks a row nor tells of one."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.events.event_ids import LONGEST_EVENT_ID, EventIdScope
from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import Store, now_ms
from tests.builders import a_row
from tests.serving.http.conftest import Row, Shop, as_event


@pytest.fixture(scope="module")
def store(shop: Shop) -> Iterator[Store]:
    opened = open_store(shop.settings.database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def second_checkout(store: Store) -> str:
    return create_key(store, name="shop-2", role="checkout", merchant_id=None, now_ms=now_ms())


def an_event(event_id: str, order_id: str, customer_id: str, **more: Any) -> Row:
    more = {"kind": "delivered", "order_id": order_id, "customer_id": customer_id, **more}
    return as_event("order_events", a_row("order_events", event_id, now_ms(), None, **more))


def sent(shop: Shop, event: Row, key: str | None = None) -> Row:
    answer = shop.post("/v1/events", event, key=key)
    assert answer.status_code == 200, answer.text
    result: Row = answer.json()["results"][0]
    assert result["event_id"] == event["event_id"]
    return result


def kept_ids(store: Store, order_id: str) -> set[str]:
    with store.reading() as tx:
        rows = tx.execute(
            "SELECT event_id FROM ledger_events WHERE contract = 'order_events' AND body LIKE ?",
            (f'%"{order_id}"%',),
        )
    return {str(event_id) for (event_id,) in rows}


def test_three_senders_of_one_event_id_each_have_their_row(
    shop: Shop, store: Store, second_checkout: str
) -> None:
    shop.customer("thrice-sent")
    shop.score("o-thrice", "thrice-sent")
    event = an_event("evt-1", "o-thrice", "thrice-sent")
    keys = (shop.checkout_key, second_checkout, shop.ledger_key)
    # The very same content, and it is nobody else's: "repeated" is said to its own sender alone.
    assert [sent(shop, event, key)["status"] for key in keys] == ["accepted"] * 3
    assert [sent(shop, event, key)["status"] for key in keys] == ["repeated"] * 3
    assert kept_ids(store, "o-thrice") == {"evt-1", "key:shop:evt-1", "key:shop-2:evt-1"}
    reused = sent(shop, {**event, "kind": "shipped"}, second_checkout)
    assert (reused["status"], reused["errors"][0]["detail"]) == (
        "rejected",
        "the event_id stands for other content",
    )


def test_a_squatter_keeps_no_row_out_whatever_it_sends(shop: Shop, second_checkout: str) -> None:
    shop.customer("squatted-event")
    shop.score("o-squatted-event", "squatted-event")
    squat = an_event("evt-2", "o-squatted-event", "squatted-event")
    for body in (squat, {**squat, "kind": "no such kind"}, {**squat, "order_id": "never-decided"}):
        shop.post("/v1/events", body, key=second_checkout)
    true_row = an_event("evt-2", "o-squatted-event", "squatted-event", kind="shipped")
    assert sent(shop, true_row, shop.checkout_key)["status"] == "accepted"
    assert sent(shop, true_row)["status"] == "accepted"


def test_a_key_corrects_its_own_row_by_the_id_that_it_sent(
    shop: Shop, store: Store, second_checkout: str
) -> None:
    shop.customer("corrects-own")
    shop.score("o-corrects", "corrects-own")
    for key in (shop.ledger_key, shop.checkout_key, second_checkout):
        sent(shop, an_event("evt-3", "o-corrects", "corrects-own"), key)
    correction = an_event("evt-4", "o-corrects", "corrects-own", kind="returned", corrects="evt-3")
    assert sent(shop, correction, shop.checkout_key)["status"] == "accepted"
    assert sent(shop, correction)["status"] == "accepted"
    twice = sent(shop, {**correction, "event_id": "evt-5"}, shop.checkout_key)
    assert twice["errors"][0]["detail"] == "evt-3 was corrected already; correct its correction"
    with store.reading() as tx:
        corrected = tx.execute("SELECT event_id, corrects FROM ledger_events WHERE corrects LIKE '%evt-3'")
    assert set(corrected) == {("evt-4", "evt-3"), ("key:shop:evt-4", "key:shop:evt-3")}
    # What stands under an id that is none of its own, such as the service's rows, is named as it is.
    decision_id = shop.get("/v1/orders/o-corrects").json()["decision_id"]
    shop.post("/v1/orders/o-corrects/confirm")
    undone = an_event(
        "evt-6", "o-corrects", "corrects-own", kind="cancelled", corrects=f"confirmed-{decision_id}"
    )
    assert sent(shop, undone, shop.checkout_key)["status"] == "accepted"


def test_the_feed_cannot_take_ids_of_other_keys_or_of_the_service(shop: Shop) -> None:
    shop.customer("feed-squats")
    decision_id = shop.score("o-feed", "feed-squats")["decision_id"]
    for event_id in ("key:shop:evt-9", f"confirmed-{decision_id}", f"cancelled-{decision_id}"):
        refused = sent(shop, an_event(event_id, "o-feed", "feed-squats"))
        assert (refused["status"], refused["errors"][0]["pointer"]) == ("rejected", "/event_id")
    assert shop.post("/v1/orders/o-feed/confirm").json()["state"] == "confirmed"
    # A checkout's id may look like anything: it is kept under the key's name all the same.
    own = an_event(f"cancelled-{decision_id}", "o-feed", "feed-squats")
    assert sent(shop, own, shop.checkout_key)["status"] == "accepted"
    assert shop.post("/v1/orders/o-feed/cancel").json()["state"] == "cancelled"


ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)


@given(st.tuples(names, ids), st.tuples(names, ids))
def test_no_two_keys_share_an_id_and_every_kept_one_is_an_id(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    kept = [EventIdScope(key_name=name).kept(event_id) for name, event_id in (one, other)]
    assert (kept[0] == kept[1]) == (one == other)
    assert all(len(event_id) <= LONGEST_EVENT_ID for event_id in kept)
    assert not EventIdScope(key_name=None).kept(one[1]).startswith("key:") or one[1].startswith("key:")
