"""Rows about one thing of which nobody can tell which stands: the same two instants, and other content."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.between_rows.sifted_rows import LARGEST, SiftedRows
from data_contracts.contract import Contract
from data_contracts.sent_instants import begun_before_it, happened_at_of_columns

ContentsAt = Callable[[Contract, Sequence[int]], Mapping[int, Mapping[str, Any]]]
"""What the rows of a contract at some positions say: all but `recorded_at`."""


def undecidable_rows(table: SiftedRows, contents_at: ContentsAt) -> set[int]:
    """The accepted rows of which nobody can tell which stands."""
    mask = table.accepted & ~table.repeated
    things = _things(table)
    rows = np.flatnonzero(mask & things.is_valid().to_numpy(zero_copy_only=False))
    begun = [table.integers(name) for name in begun_before_it(table.contract)]
    happened = happened_at_of_columns(table.occurred_at, table.recorded_at, begun)[rows]
    recorded_at = table.recorded_at[rows]
    codes = things.take(pa.array(rows)).dictionary_encode().indices.to_numpy()
    mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= recorded_at.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= happened.astype(np.uint64) * np.uint64(0x165667B19E3779F9)
    if pc.count_distinct(pa.array(mixed)).as_py() == len(rows):
        return set()
    groups: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    _, inverse, counts = np.unique(mixed, return_inverse=True, return_counts=True)
    for place in np.flatnonzero(counts[inverse] > 1).tolist():
        key = int(codes[place]), int(happened[place]), int(recorded_at[place])
        groups[key].append(int(rows[place]))
    together = [places for places in groups.values() if len(places) > 1]
    members = sorted(place for places in together for place in places)
    contents = contents_at(table.contract, members)
    corrected_at = dict(
        zip(
            table.strings("corrects").filter(pa.array(mask)).to_pylist(),
            table.recorded_at[mask].tolist(),
            strict=True,
        )
    )
    undecidable: set[int] = set()
    for places in together:
        standing = [
            place
            for place in places
            if corrected_at.get(contents[place]["event_id"], LARGEST) > table.recorded_at[place]
        ]
        said = [table.contract.says(contents[place]) for place in standing]
        if any(one != said[0] for one in said):
            undecidable.update(standing)
    return undecidable


def _things(table: SiftedRows) -> pa.Array:
    """The thing that each row is a state of, shape (n_rows,); null: the row stands beside all others."""
    answers = table.contract.answers
    if answers is None:
        (column,) = table.contract.state_of
        things = table.strings(column)
        if not table.contract.state_columns:
            return things
        is_state = np.any([table.is_present(name) for name in table.contract.state_columns], axis=0)
        return pc.if_else(pa.array(is_state), things, pa.scalar(None, things.type))
    kinds = table.strings(answers.column).dictionary_encode()
    questions = [answers.question_of.get(kind) for kind in kinds.dictionary.to_pylist()]
    question = pa.array(questions, pa.string()).take(kinds.indices)
    return pc.binary_join_element_wise(table.strings(answers.about), question, "\n")
