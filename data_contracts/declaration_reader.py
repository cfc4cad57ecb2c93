"""Reads what a person declares in TOML, and names every mistake in it, not only the first."""

import enum
import tomllib
from typing import Any, TypeVar

from data_contracts.edited_text import BYTE_ORDER_MARK

Word = TypeVar("Word", bound=enum.Enum)


def toml_document(text: str) -> dict[str, Any]:
    """The document of a TOML text, with or without a byte order mark. Raises tomllib.TOMLDecodeError."""
    return tomllib.loads(text.removeprefix(BYTE_ORDER_MARK))


def is_number(value: object) -> bool:
    """Whether a value of TOML is a number; true and false are none.

    >>> is_number(1.5), is_number(True), is_number("1")
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


class DeclarationReader:
    """Takes fields out of tables one by one and collects what is wrong with them as "field: rule".

    A field that is missing or wrong is read as some value of its type, so that the reading goes on to the
    next mistake: whoever uses it looks at `mistakes` first. prefix: where the table stands, with its dot.

    missing, unknown: the rule that is named for a field that is not there, and for one that nobody reads.

    >>> reader = DeclarationReader(missing="is missing", unknown="is no field")
    >>> limits = {"days": 400, "dayz": 3}
    >>> reader.integer(limits, "days", "limits.", 1, 365), reader.text(limits, "name", "limits.")
    (1, '')
    >>> reader.refuse_rest(limits, "limits.")
    >>> reader.mistakes
    ['limits.days: must be from 1 to 365', 'limits.name: is missing', 'limits.dayz: is no field']
    """

    def __init__(self, *, missing: str, unknown: str) -> None:
        self._missing = missing
        self._unknown = unknown
        self.mistakes: list[str] = []

    def take(self, table: dict[str, Any], name: str, prefix: str) -> Any:
        """The value of a field, which is gone from the table then; None where it is missing."""
        if name not in table:
            self.mistakes.append(f"{prefix}{name}: {self._missing}")
            return None
        return table.pop(name)

    def text(self, table: dict[str, Any], name: str, prefix: str) -> str:
        """A text that is not empty."""
        value = self.take(table, name, prefix)
        if isinstance(value, str) and value.strip():
            return value
        if value is not None:
            self.mistakes.append(f"{prefix}{name}: must be a text that is not empty")
        return ""

    def texts(
        self, table: dict[str, Any], name: str, prefix: str, *, what: str = "texts", may_be_empty: bool = True
    ) -> tuple[str, ...]:
        """A list of texts. what: what they are called in the rule that is named."""
        value = self.take(table, name, prefix)
        is_list = isinstance(value, list) and all(isinstance(text, str) and text for text in value)
        if is_list and (value or may_be_empty):
            return tuple(value)
        if value is not None:
            self.mistakes.append(f"{prefix}{name}: must be a list of {what}")
        return ()

    def integer(self, table: dict[str, Any], name: str, prefix: str, minimum: int, maximum: int) -> int:
        """A whole number from minimum to maximum."""
        value = self.take(table, name, prefix)
        if isinstance(value, int) and not isinstance(value, bool):
            if minimum <= value <= maximum:
                return value
            self.mistakes.append(f"{prefix}{name}: must be from {minimum} to {maximum}")
        elif value is not None:
            self.mistakes.append(f"{prefix}{name}: must be a whole number")
        return minimum

    def number(self, table: dict[str, Any], name: str, prefix: str, minimum: float, maximum: float) -> float:
        """A number from minimum to maximum."""
        value = self.take(table, name, prefix)
        if is_number(value) and minimum <= value <= maximum:
            return float(value)
        if value is not None:
            self.mistakes.append(f"{prefix}{name}: must be a number from {minimum:g} to {maximum:g}")
        return minimum

    def word(self, table: dict[str, Any], name: str, prefix: str, words: type[Word], otherwise: Word) -> Word:
        """One of the words of an enum. otherwise: read where it is none of them."""
        value = self.take(table, name, prefix)
        if value is None:
            return otherwise
        if not isinstance(value, str) or value not in {word.value for word in words}:
            allowed = ", ".join(word.value for word in words)
            self.mistakes.append(f"{prefix}{name}: must be one of {allowed}")
            return otherwise
        return words(value)

    def table(self, table: dict[str, Any], name: str, prefix: str) -> dict[str, Any]:
        """A table within the table."""
        value = self.take(table, name, prefix)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.mistakes.append(f"{prefix}{name}: must be a table")
        return {}

    def tables(
        self,
        table: dict[str, Any],
        name: str,
        prefix: str = "",
        *,
        may_be_empty: bool = True,
        needed: bool = True,
    ) -> list[dict[str, Any]]:
        """A list of tables. needed: whether a document without it is wrong."""
        if not needed and name not in table:
            return []
        value = self.take(table, name, prefix)
        is_list = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
        if is_list and (value or may_be_empty):
            entries: list[dict[str, Any]] = value
            return entries
        if value is not None:
            self.mistakes.append(f"{prefix}{name}: must be a list of tables, each under [[{prefix}{name}]]")
        return []

    def refuse_rest(self, table: dict[str, Any], prefix: str) -> None:
        """Name every field that was not taken."""
        self.mistakes += [f"{prefix}{name}: {self._unknown}" for name in table]
