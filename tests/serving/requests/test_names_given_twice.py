"""A JSON body that gives a name twice: which of the values counts differs from reader to reader."""

import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.api.domain_problems import problem_of
from serving.domain.errors import FieldsInvalid
from serving.requests.http_requests import decoded_json, names_given_twice

TEXTS = st.text(alphabet='ab":\\ ,{}[]\u00e4\n', max_size=4)
"""Of the signs that make a reader of bytes err."""


class _Pairs(list[tuple[str, object]]):
    """An object as it is written, a name as often as it is given."""


VALUES = st.recursive(
    st.none() | st.integers(0, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(TEXTS, inner), max_size=3).map(_Pairs),
    max_leaves=8,
)
BLANKS = st.sampled_from(["", " ", "\n\t", "  \r\n"])


def _written(value: object, blank: str) -> str:
    if isinstance(value, _Pairs):
        inner = (f"{json.dumps(name)}{blank}:{blank}{_written(one, blank)}" for name, one in value)
        return "{" + blank + f",{blank}".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(one, blank) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _has_a_name_twice(value: object) -> bool:
    if isinstance(value, _Pairs):
        is_twice = any(times > 1 for times in Counter(name for name, _ in value).values())
        return is_twice or any(_has_a_name_twice(one) for _, one in value)
    return isinstance(value, list) and any(_has_a_name_twice(one) for one in value)


@given(value=VALUES, blank=BLANKS)
def test_a_body_is_refused_exactly_where_an_object_gives_a_name_twice(value: object, blank: str) -> None:
    body = _written(value, blank).encode()
    if not _has_a_name_twice(value):
        assert decoded_json(body) == msgspec.json.decode(body)
        return
    # Of an object that is lost to its namesake only the namesake is told.
    assert names_given_twice(body)
    with pytest.raises(FieldsInvalid) as refused:
        decoded_json(body)
    assert problem_of(refused.value).status == 422
    assert {error.detail for error in refused.value.errors} == {"is given more than once"}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"amount_cents": 100, "amount_cents": 8990}', "/amount_cents"),
        (b'{"amount_cents": 100, "amount\\u005fcents": 100}', "/amount_cents"),
        (b'{"note": "he said \\": \\"", "note" : 1}', "/note"),
        (b'{"delivery": {"city": "A", "city"\n:"B"}}', "/delivery/city"),
        (b'{"events": [{}, {"event_id": "e-1", "event_id": "e-2"}]}', "/events/1/event_id"),
        (b'{"delivery": {}, "delivery": {"city": "A"}}', "/delivery"),
    ],
)
def test_the_name_that_is_given_twice_is_told_by_its_place(body: bytes, where: str) -> None:
    with pytest.raises(FieldsInvalid) as refused:
        decoded_json(body)
    assert [error.pointer for error in refused.value.errors] == [where]


def test_very_many_names_given_twice_cost_no_more_than_reading_them() -> None:
    body = b"{" + b",".join(b'"a%d":0,"a%d":1' % (place, place) for place in range(2_500)) + b"}"
    with pytest.raises(FieldsInvalid) as refused:
        decoded_json(body)
    told = problem_of(refused.value)
    assert len(told.errors) + told.errors_not_listed == 2_500


def test_a_body_too_deep_to_read_is_a_problem_and_no_error() -> None:
    refused = 0
    for depth in range(100, 1_200, 50):
        try:
            decoded_json(b'{"a":' * depth + b'":"' + b"}" * depth)
        except FieldsInvalid:
            refused += 1
    assert 0 < refused < 22
