"""In which language a page is written: the reader's choice, the browser's, or the merchant's."""

import re

from data_contracts.text_form import primary_language
from serving.domain.text_files import FALLBACK_LANGUAGE, LANGUAGES

_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def page_language(*, chosen: str | None, accept_language: str | None, merchant_language: str | None) -> str:
    """One of the languages that have texts.

    chosen: from the language switch; one without texts counts as none. accept_language: the header.
    merchant_language: None where the merchant is not known.

    >>> page_language(chosen=None, accept_language="fi, sv;q=0.5, da;q=0.9", merchant_language="de")
    'da'
    >>> page_language(chosen="nl", accept_language="da", merchant_language="de")
    'nl'
    """
    if chosen in LANGUAGES:
        return chosen
    return preferred_language(accept_language or "") or merchant_language or FALLBACK_LANGUAGE


def preferred_language(accept_language: str) -> str | None:
    """The language with texts that a browser likes best (RFC 9110, 12.5.4), None where it names none.

    Among equals the first counts. A `*` says that any will do, which the merchant's own answers better
    than a guess. A malformed entry counts as left out.

    >>> preferred_language("en;q=0.8, de-AT"), preferred_language("fi"), preferred_language("sv;q=0, *")
    ('de', None, None)
    """
    best, best_quality = None, 0.0
    for entry in accept_language.split(","):
        tag, _, parameter = entry.partition(";")
        quality = _quality(parameter)
        primary = primary_language(tag)
        if primary in LANGUAGES and quality > best_quality:
            best, best_quality = primary, quality
    return best


def _quality(parameter: str) -> float:
    name, _, number = parameter.replace(" ", "").partition("=")
    if not name:
        return 1.0
    return float(number) if name.lower() == "q" and _QUALITY.fullmatch(number) else 0.0
