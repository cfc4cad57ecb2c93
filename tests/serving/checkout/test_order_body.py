"""What may be left out of an order's body: code and published schema say the same of it."""

from typing import Any

import jsonschema
import pytest

from serving.checkout.order_body import EXAMPLE_ORDER, OrderBody, order_body, order_body_schema
from serving.domain.errors import FieldsInvalid
from serving.domain.order_numbers import order_id_for

NOW = 1_800_000_000_000
NOT_GIVEN = (None, "", " ", "\t\n", "\u2003")
SCHEMA = jsonschema.Draft202012Validator(order_body_schema())
"""It says what a checkout may send; a merchant's own key may name an order in two more ways."""


def with_value(body: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {**body, path[0]: value}
    return {**body, path[0]: {**body[path[0]], path[1]: value}}


def without(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    if len(path) == 1:
        return {name: value for name, value in body.items() if name != path[0]}
    return {**body, path[0]: without(body[path[0]], path[1:])}


def optional_texts() -> list[tuple[str, ...]]:
    properties = order_body_schema()["properties"]
    paths = [(name,) for name, schema in properties.items() if "anyOf" in schema]
    for group, schema in properties.items():
        inner = schema.get("properties", {})
        paths += [(group, name) for name, one in inner.items() if "anyOf" in one]
    return paths


def judged(body: dict[str, Any], *, is_merchants_own: bool = False) -> OrderBody | None:
    try:
        return order_body(body, now_ms=NOW, is_merchants_own=is_merchants_own)
    except FieldsInvalid:
        return None


@pytest.mark.parametrize("path", optional_texts(), ids="/".join)
def test_an_optional_text_that_is_blank_is_not_given(path: tuple[str, ...]) -> None:
    body = {**EXAMPLE_ORDER, "merchant_order_number": "A-1"}
    if path == ("merchant_order_number",):
        body["order_id"] = "o-1"
    expected = judged(without(body, path))
    assert expected is not None
    for blank in NOT_GIVEN:
        changed = with_value(body, path, blank)
        assert judged(changed) == expected, blank
        assert SCHEMA.is_valid(changed), blank


def test_an_order_is_named_by_its_order_id_or_its_merchants_number_and_a_blank_names_nothing() -> None:
    bare = without(without(EXAMPLE_ORDER, ("order_id",)), ("merchant_order_number",))
    absent = object()
    for order_id in (absent, *NOT_GIVEN, "o-1", "no id!", 7):
        for number in (absent, *NOT_GIVEN, "A-1", "no number!", 7):
            named = {"order_id": order_id, "merchant_order_number": number}
            body = {**bare, **{name: value for name, value in named.items() if value is not absent}}
            found = judged(body)
            assert (found is not None) == SCHEMA.is_valid(body), named
            if found is not None and order_id != "o-1":
                assert found.row["order_id"] == order_id_for(bare["merchant_id"], "A-1")
            own = judged(body, is_merchants_own=True)
            if order_id in {absent, *NOT_GIVEN}:
                assert (own is not None) == (number == "A-1"), named
