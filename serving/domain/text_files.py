"""Texts for people: one file for each language in `texts/`, read and checked when this module is imported.

A file is a translator's: it holds every text for merchants, and those for customers whole or not at all.
English is the measure: the others have the same keys, and each text the same words in braces.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any

from data_contracts.edited_text import read_edited_text
from data_contracts.text_form import primary_language
from serving.domain.errors import TextsInvalid

FALLBACK_LANGUAGE = "en"
LANGUAGES = ("en", "de", "da", "nl", "sv")
"""In the order in which a reader is offered them."""

FOLDER = Path(__file__).parent / "texts"

_FOR_CUSTOMERS = "customer."
_KEY = re.compile(r"[a-z][a-z0-9_]*")


def texts_of(files: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    """Every text by language, then by its key with all tables before it: `merchant.email.subject`.

    files: the TOML of each language, by language, English among them.
    Raises TextsInvalid with every mistake, each as "file: key: rule".

    >>> texts_of({"en": 'subject = "To {name}"', "de": 'subject = "An {name}"'})["de"]["subject"]
    'An {name}'
    >>> texts_of({"en": 'subject = "To {name}"', "de": 'subject = "An {nahme}"'})
    Traceback (most recent call last):
    serving.domain.errors.TextsInvalid: de.toml: subject: must fill in {name} as en.toml does, not {nahme}
    """
    mistakes: list[str] = []
    texts = {language: _texts(f"{language}.toml", text, mistakes) for language, text in files.items()}
    measure = {key: _filled_in(text) for key, text in texts[FALLBACK_LANGUAGE].items()}
    for language in texts.keys() - {FALLBACK_LANGUAGE}:
        mistakes += _against_english(f"{language}.toml", texts[language], measure)
    if mistakes:
        raise TextsInvalid(sorted(mistakes))
    return MappingProxyType({language: MappingProxyType(of_one) for language, of_one in texts.items()})


def read_texts(folder: Path) -> Mapping[str, Mapping[str, str]]:
    """The texts of a folder with one file for each of `LANGUAGES`.

    Raises TextsInvalid, also for a language without its file and a file without its language.
    """
    found = {file.stem for file in folder.glob("*.toml")}
    mistakes = [f"{language}.toml: is missing" for language in LANGUAGES if language not in found]
    mistakes += [
        f"{name}.toml: is the file of no language ({', '.join(LANGUAGES)})"
        for name in sorted(found.difference(LANGUAGES))
    ]
    files = {}
    for language in found.intersection(LANGUAGES):
        try:
            files[language] = read_edited_text(folder / f"{language}.toml")
        except UnicodeDecodeError as problem:
            mistakes.append(f"{language}.toml: must be in UTF-8, byte {problem.start} is not")
    if mistakes:
        raise TextsInvalid(sorted(mistakes))
    return texts_of({language: files[language] for language in LANGUAGES})


def _texts(file: str, toml: str, mistakes: list[str]) -> dict[str, str]:
    try:
        document = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as problem:
        mistakes.append(f"{file}: is no TOML: {problem}")
        return {}
    texts: dict[str, str] = {}
    _take(document, "", texts, lambda key, rule: mistakes.append(f"{file}: {key}: {rule}"))
    return texts


def _take(
    table: dict[str, Any], prefix: str, texts: dict[str, str], mistake: Callable[[str, str], None]
) -> None:
    for name, value in table.items():
        key = prefix + name
        if not _KEY.fullmatch(name):
            mistake(key, "must be of small letters, digits and underscores")
        elif isinstance(value, dict):
            _take(value, f"{key}.", texts, mistake)
        elif not isinstance(value, str):
            mistake(key, "must be a text in quotes")
        elif not value.strip():
            mistake(key, "must not be blank")
        else:
            texts[key] = value
            rule = _rule_of_braces_broken(value)
            if rule:
                mistake(key, rule)


def _rule_of_braces_broken(text: str) -> str | None:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as problem:
        return f"braces must stand in pairs: {problem}"
    if all(name is None or (_KEY.fullmatch(name) and not form and not spec) for _, name, form, spec in parts):
        return None
    return "braces must hold one plain name, such as {order_id}"


def _filled_in(text: str) -> frozenset[str]:
    try:
        return frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)
    except ValueError:
        return frozenset()  # told as a mistake where the text was taken


def _against_english(file: str, texts: Mapping[str, str], measure: Mapping[str, frozenset[str]]) -> list[str]:
    for_customers = any(key.startswith(_FOR_CUSTOMERS) for key in texts)
    wanted = {key for key in measure if for_customers or not key.startswith(_FOR_CUSTOMERS)}
    english = f"{FALLBACK_LANGUAGE}.toml"
    mistakes = [f"{file}: {key}: is missing" for key in wanted - texts.keys()]
    mistakes += [f"{file}: {key}: is no text of {english}" for key in texts.keys() - wanted]
    for key in texts.keys() & wanted:
        filled_in = _filled_in(texts[key])
        if filled_in != measure[key]:
            mistakes.append(
                f"{file}: {key}: must fill in {_in_braces(measure[key])} as {english} does, "
                f"not {_in_braces(filled_in)}"
            )
    return mistakes


def _in_braces(names: frozenset[str]) -> str:
    return " ".join(f"{{{name}}}" for name in sorted(names)) or "nothing"


_BY_LANGUAGE = read_texts(FOLDER)

LANGUAGE_NAMES: Mapping[str, str] = MappingProxyType(
    {language: _BY_LANGUAGE[language]["name"] for language in LANGUAGES}
)
"""What each language calls itself, for a reader who does not read the page's."""


INSTANT_FORMS: Mapping[str, str] = MappingProxyType(
    {language: _BY_LANGUAGE[language]["instant"] for language in LANGUAGES}
)
"""How each language puts an instant together of `{date}`, `{time}` and `{zone}`."""


def text_language(language: str) -> str:
    """The language in which we have texts for a wanted one, English where we have none.

    >>> text_language("sv"), text_language("de-AT"), text_language("fi")
    ('sv', 'de', 'en')
    """
    primary = primary_language(language)
    return primary if primary in LANGUAGES else FALLBACK_LANGUAGE


def texts_by_code(table: str) -> Mapping[str, Mapping[str, str]]:
    """The texts of one table by their code, then by language: the languages that have them, in our order.

    >>> texts_by_code("customer.recourse")["order_in_currency"]
    mappingproxy({'en': 'Order in {currency}.', 'de': 'In {currency} bestellen.'})
    """
    codes = [key for key in _BY_LANGUAGE[FALLBACK_LANGUAGE] if key.startswith(f"{table}.")]
    return MappingProxyType(
        {
            key.removeprefix(f"{table}."): MappingProxyType(
                {language: texts[key] for language, texts in _BY_LANGUAGE.items() if key in texts}
            )
            for key in codes
        }
    )
