"""Whose account it is: accounts of one person share arrears, exposure and limit.

Two accounts are one person's if both carry the hash of an identity document and have one in common. Where at
least one of them carries none, they are if name, birth date and residence are the same once they are brought
to one form. Two accounts with different hashes are two people's, whatever they are called; so are father and
son of one name at one address, who have different birth dates.

Every row of an account that is known and not corrected counts, an earlier state too: who renames the old
account does not escape. Only the direct relation to an account counts, never one by way of a third.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

CustomerRow = Mapping[str, Any]
"""A row of the contract `customers` in ledger row form."""

DOCUMENT, NAME = "document", "name"


@lru_cache(maxsize=4096)
def one_form(text: str) -> str:
    r"""A text in the form in which spellings of one name or street are equal.

    Letters and digits alone, in one case and one composition; Straße, Strasse and Str. are the same.

    >>> one_form("  Jean-Luc   MÜLLER ") == one_form("jean luc Mu\u0308ller")
    True
    >>> one_form("Hauptstraße"), one_form("HAUPTSTRASSE"), one_form("Haupt-Str."), one_form("17 a")
    ('hauptstr', 'hauptstr', 'hauptstr', '17a')
    >>> one_form("Müller") == one_form("Muller")
    False
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LMN")
    return kept.replace("strasse", "str")


def person_keys(row: CustomerRow) -> tuple[str, ...]:
    """What a row says about whose account it is: rows of one person have a key in common.

    "document:" with the hash of the identity document, where the row carries one, and "name:" with a hash of
    name, birth date and residence, where there is a residence.

    >>> born = {"given_name": "Anna", "family_name": "Groß", "birth_date": "1990-02-28"}
    >>> lives = {"residence_street": "Am Hang", "residence_house_number": "1", "residence_city": "Ulm"}
    >>> row = {**born, **lives, "residence_postal_code": "89073", "residence_country": "DE"}
    >>> person_keys(row) == person_keys({**row, "family_name": "GROSS "})
    True
    >>> person_keys(row) == person_keys({**row, "birth_date": "1960-02-28"})
    False
    >>> person_keys({**row, "residence_country": None, "identity_document_hmac": "AB" * 32})
    ('document:abababababababababababababababababababababababababababababababab',)
    """
    keys = []
    document = row.get("identity_document_hmac")
    if document is not None:
        keys.append(f"{DOCUMENT}:{document.lower()}")
    name = one_form(row["given_name"]) + one_form(row["family_name"])
    if name and row.get("residence_country") is not None:
        parts = (
            name,
            row["birth_date"],
            one_form(row["residence_street"]),
            one_form(row["residence_house_number"]),
            one_form(row["residence_postal_code"]),
            one_form(row["residence_city"]),
            row["residence_country"],
        )
        # A hash, so that an index over everybody's name and address is no list of them.
        keys.append(f"{NAME}:{hashlib.sha256('|'.join(parts).encode()).hexdigest()}")
    return tuple(keys)


@dataclass(frozen=True, kw_only=True)
class PersonTraces:
    """All keys of one account, by kind."""

    documents: frozenset[str]
    names: frozenset[str]

    def is_same_person(self, other: "PersonTraces") -> bool:
        """Whether two accounts are one person's."""
        if self.documents and other.documents:
            return not self.documents.isdisjoint(other.documents)
        return not self.names.isdisjoint(other.names)


def person_traces(rows: Iterable[CustomerRow], as_of_ms: int) -> PersonTraces:
    """What is known at `as_of_ms` about whose account it is. rows: of one account."""
    known = [row for row in rows if row["recorded_at"] < as_of_ms]
    corrected = {row["corrects"] for row in known if row.get("corrects") is not None}
    keys = {key for row in known if row["event_id"] not in corrected for key in person_keys(row)}
    documents = frozenset(key for key in keys if key.startswith(f"{DOCUMENT}:"))
    return PersonTraces(documents=documents, names=frozenset(keys - documents))


def other_accounts(
    own: Sequence[CustomerRow], candidates: Mapping[str, Sequence[CustomerRow]], as_of_ms: int
) -> tuple[str, ...]:
    """Which of the candidates are accounts of the same person at `as_of_ms`, in the order of their ids.

    own: the rows of the account itself. candidates: rows by customer_id.
    """
    if not candidates:
        return ()
    traces = person_traces(own, as_of_ms)
    return tuple(
        customer_id
        for customer_id in sorted(candidates)
        if traces.is_same_person(person_traces(candidates[customer_id], as_of_ms))
    )
