"""Facts of many subjects as a table of integer columns, however they were derived."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.instants import Int64Array

FactTable = dict[str, Int64Array]
"""Facts of one kind: `entity` (code of what each is about) and the fact's columns; shapes (n_facts,)."""

Whole = TypeVar("Whole", int, Int64Array)
"""One fact has integers in its columns, many facts have arrays."""


class FactColumns(Protocol):
    """A fact, which is a NamedTuple: with arrays in it the columns of many."""

    def _asdict(self) -> dict[str, Any]: ...


def fact_table(entity: Int64Array, facts: FactColumns) -> FactTable:
    """Facts that were derived as arrays, with the codes of what they are about; all of shape (n_facts,)."""
    return {"entity": entity, **facts._asdict()}


def table_of_facts(
    fact_type: type[tuple[Any, ...]], entities: Sequence[int], facts: Sequence[tuple[int, ...]]
) -> FactTable:
    """Facts that were derived one by one, with the code of what each is about."""
    names: tuple[str, ...] = fact_type._fields  # type: ignore[attr-defined]  # each is a NamedTuple
    columns = np.array(facts, dtype=np.int64).reshape(len(facts), len(names))
    table = {name: np.ascontiguousarray(columns[:, index]) for index, name in enumerate(names)}
    return {"entity": np.array(entities, dtype=np.int64), **table}


def derived_one_by_one(
    fact_type: type[tuple[Any, ...]],
    entity_of: Mapping[int, int],
    derive: Callable[[int], Sequence[tuple[int, ...]]],
) -> FactTable:
    """Derive the facts of each subject by itself.

    entity_of: the code of the entity by that of the subject, such as the customer's by the invoice's.
    """
    entities: list[int] = []
    facts: list[tuple[int, ...]] = []
    for subject, entity in entity_of.items():
        derived = derive(subject)
        facts += derived
        entities += [entity] * len(derived)
    return table_of_facts(fact_type, entities, facts)


def joined(*tables: FactTable) -> FactTable:
    """The facts of several tables of one kind, one after the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def facts_where(table: FactTable, mask: NDArray[np.bool_]) -> FactTable:
    """The facts that `mask`, of shape (n_facts,), picks."""
    return {name: values[mask] for name, values in table.items()}


def repeated(codes: Int64Array) -> Int64Array:
    """The codes that stand there more than once, ascending."""
    values, counts = np.unique(codes, return_counts=True)
    return np.asarray(values[counts > 1], dtype=np.int64)
