"""Whose account it is: accounts of one person share arrears, exposure and limit.

Two accounts are one person's if both carry the hash of an identity document and have one in common. Where at
least one of them carries none, they are if name, birth date and residence are the same however they are
spelled. Two accounts with different hashes are two people's, whatever they are called; so are father and
son of one name at one address, who have different birth dates.

Every row of an account that is known and not corrected counts, an earlier state too: who renames the old
account does not escape. Only the direct relation to an account counts, never one by way of a third.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.text_form import plain_letters, umlauts_unmarked
from features.place_key import place_key

CustomerRow = Mapping[str, Any]
"""A row of the contract `customers` in ledger row form."""

DOCUMENT, NAME = "document", "name"

_PART_OF_NAME = re.compile(r"[^\W_]+")
_TITLES = frozenset(
    {"dipl", "doctor", "doktor", "dr", "frau", "herr", "mag", "mr", "mrs", "prof", "professor"}
)
_AFTER_A_TITLE = frozenset(
    {"c", "dent", "h", "habil", "hc", "ing", "iur", "jur", "med", "nat", "oec", "phil", "pol", "rer", "vet"}
)


def name_forms(given_name: str, family_name: str) -> frozenset[str]:
    """A name in all its forms: two names are the same where they have one in common.

    Words in any order and without titles. A hyphen separates words or joins them, and of a name of several
    words each field may be written as one. Every given name counts: of twins one may be Anna, the other
    Anna Maria.

    >>> name_forms("Erika", "Mustermann") == name_forms("MUSTERMANN", "Dr. med. Erika")
    True
    >>> sorted(name_forms("Anna", "Muster-Mann"))
    ['anna mann muster', 'anna mustermann']
    >>> name_forms("Erika", "Mustermann") & name_forms("Erika Maria", "Mustermann")
    frozenset()
    """
    fields = [plain_letters(name) for name in (given_name, family_name)]
    separated = [_without_titles(_PART_OF_NAME.findall(field)) for field in fields]
    joined = [
        _without_titles(["".join(_PART_OF_NAME.findall(word)) for word in field.split()]) for field in fields
    ]
    ways = (
        [word for words in separated for word in words],
        [word for words in joined for word in words],
        ["".join(words) for words in separated],
    )
    forms = {" ".join(sorted({umlauts_unmarked(word) for word in words if word})) for words in ways}
    return frozenset(forms - {""})


def _without_titles(words: list[str]) -> list[str]:
    """The words of a field without titles; all of them where there is nothing else."""
    kept: list[str] = []
    is_after_title = False
    for word in words:
        is_after_title = word in _TITLES or (is_after_title and word in _AFTER_A_TITLE)
        if not is_after_title:
            kept.append(word)
    return kept or words


def residence_key(row: CustomerRow) -> str | None:
    """One key for a residence, as `place_key` makes it; None where there is none.

    Country and postal code stand for the city. Straße, Strasse and Str. are the same, and a house number that
    the street repeats counts once.

    >>> lives = {"residence_postal_code": "51147", "residence_city": "Köln", "residence_country": "DE"}
    >>> one = {**lives, "residence_street": "Königstraße", "residence_house_number": "17 a"}
    >>> other = {**lives, "residence_street": "Koenigstr. 17a", "residence_house_number": "17A"}
    >>> residence_key(one) == residence_key(other)
    True
    """
    if row.get("residence_country") is None:
        return None
    place = place_key(
        row["residence_street"],
        row["residence_house_number"],
        row["residence_postal_code"],
        row["residence_country"].upper(),
    )
    return None if place is None else umlauts_unmarked(place)


def person_keys(row: CustomerRow) -> tuple[str, ...]:
    """What a row says about whose account it is: rows of one person have a key in common.

    "document:" with the hash of the identity document, where the row carries one, and "name:" with a hash of
    each form of the name, birth date and residence, where there is a residence.

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
    residence = residence_key(row)
    if residence is not None:
        for name in sorted(name_forms(row["given_name"], row["family_name"])):
            parts = "|".join((name, row["birth_date"], residence))
            # A hash, so that an index over everybody's name and address is no list of them.
            keys.append(f"{NAME}:{hashlib.sha256(parts.encode()).hexdigest()}")
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
