"""Ids for an SQL list, in few sizes: each size is one statement that the database prepares once."""

from collections.abc import Iterator, Sequence

_SIZES = (1, 4, 16, 64, 256)


def lists_of_ids(ids: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Placeholders and values of all ids, in lists of at most 256; the last id fills a list up.

    >>> list(lists_of_ids(["a", "b"]))
    [('?, ?, ?, ?', ('a', 'b', 'b', 'b'))]
    """
    for start in range(0, len(ids), _SIZES[-1]):
        part = tuple(ids[start : start + _SIZES[-1]])
        size = next(size for size in _SIZES if size >= len(part))
        yield ", ".join("?" * size), part + (part[-1],) * (size - len(part))
