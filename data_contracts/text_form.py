r"""The one form of a text: people, keyboards and shops write the same word in many ways.

What was sent is kept as it was sent. Whatever looks at a text, to judge it, compare it or to make a key of
it, looks at its form.
"""

import re
import unicodedata
from functools import lru_cache

_APOSTROPHES = (
    "\u0060\u00b4\u02b9\u02bb\u02bc\u02bd\u02c8\u02ca\u2018\u2019\u201a\u201b\u2032\u2035\ua78c\uff07"
)
_HYPHENS = "\u02d7\u05be\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u207b\u2212\ufe58\ufe63\uff0d"
_LOOKS_LIKE = str.maketrans(
    {**dict.fromkeys(_APOSTROPHES, "'"), **dict.fromkeys(_HYPHENS, "-"), "\u2044": "/", "\u2215": "/"}
)
_SOFT_HYPHEN = "\u00ad"
_FILLERS = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0"), " ")
"""Letters and patterns, by their category, that are drawn as nothing."""
_BLANKS = re.compile(r"\s+")
_IS_IN_FORM = re.compile(r"[!-_a-~\u00c0-\u024f\u1e00-\u1eff]+(?: [!-_a-~\u00c0-\u024f\u1e00-\u1eff]+)*")
"""Nearly every text: printable ASCII but the grave accent, composed Latin letters, single blanks."""

_LETTERS_WRITTEN_AS = str.maketrans(
    {
        "ä": "ae",
        "æ": "ae",
        "ö": "oe",
        "ø": "oe",
        "œ": "oe",
        "ü": "ue",
        "å": "aa",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "\u0131": "i",
        "ł": "l",
        "þ": "th",
    }
)
_VOWEL_MARKED_BY_E = re.compile(r"(?<=[aou])e+|(?<=a)a+")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_SAYS_NOTHING = frozenset(
    {
        "anonymous",
        "default",
        "empty",
        "false",
        "keine angabe",
        "missing",
        "n/a",
        "na",
        "nan",
        "nil",
        "no value",
        "none",
        "not available",
        "not set",
        "null",
        "true",
        "unbekannt",
        "undefined",
        "unknown",
    }
)


@lru_cache(maxsize=8192)
def in_one_form(text: str) -> str:
    r"""A text in its one form; the case and the words stay.

    Letters with their marks are one sign (NFC). Blanks of every kind are one blank, and none stands at an
    end. What looks like an apostrophe or a hyphen is one. Signs that nobody sees, such as the direction of
    writing and the soft hyphen, are left out.

    >>> in_one_form(" Jo\u0308rg\u00a0 Weber\u200e "), in_one_form("O\u00b4Brien"), in_one_form("12\u201314")
    ('Jörg Weber', "O'Brien", '12-14')
    """
    if _IS_IN_FORM.fullmatch(text):
        return text
    composed = unicodedata.normalize("NFC", text).replace(_SOFT_HYPHEN, "").translate(_LOOKS_LIKE | _FILLERS)
    seen = "".join(sign for sign in composed if unicodedata.category(sign) != "Cf")
    return _BLANKS.sub(" ", seen).strip()


def holds_control_signs(text: str) -> bool:
    r"""Whether a text of several lines holds what no keyboard writes into one: it would steer a terminal.

    >>> holds_control_signs("one\r\n\ttwo"), holds_control_signs("a\x00b"), holds_control_signs("\x1b[31m")
    (False, True, True)
    """
    return any(unicodedata.category(sign) == "Cc" and sign not in "\t\n\r" for sign in text)


def printable(text: str) -> str:
    r"""What somebody else named, for a terminal: signs that steer it, or that are no text, are escaped.

    Line breaks stay.

    >>> printable("a\x1b[31m"), printable("\udcff.parquet"), printable("é\n")
    ('a\\x1b[31m', '\\udcff.parquet', 'é\n')
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)


def is_blank(text: str) -> bool:
    r"""Whether nobody sees anything of a text.

    >>> is_blank(" "), is_blank("\u200b\u00a0"), is_blank("-")
    (True, True, False)
    """
    return not in_one_form(text)


@lru_cache(maxsize=8192)
def plain_letters(text: str) -> str:
    r"""A text in one case and without diacritics; an umlaut as a machine-readable line writes it.

    >>> plain_letters("JÖRG Weiß"), plain_letters("Jo\u0308rg"), plain_letters("Joerg")
    ('joerg weiss', 'joerg', 'joerg')
    >>> plain_letters("André Łukasz Søren Åse")
    'andre lukasz soeren aase'
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", in_one_form(text)).casefold())
    parts = unicodedata.normalize("NFKD", folded.translate(_LETTERS_WRITTEN_AS))
    return unicodedata.normalize("NFKC", "".join(part for part in parts if not unicodedata.combining(part)))


def umlauts_unmarked(word: str) -> str:
    """Plain letters in the form in which the ways to write an umlaut are one: with e, or without a mark.

    >>> umlauts_unmarked("mueller") == umlauts_unmarked("muller") == umlauts_unmarked(plain_letters("Müller"))
    True
    """
    return _VOWEL_MARKED_BY_E.sub("", word)


def says_nothing(text: str) -> bool:
    """Whether a text only fills a field: no letter and no digit, one sign throughout, or a word for nothing.

    >>> [says_nothing(text) for text in ("unknown", "N/A", "00000000-0000-0000", "--", "dev-17", "0815")]
    [True, True, True, True, False, False]
    """
    form = in_one_form(text).casefold()
    return len(set(_LETTER_OR_DIGIT.findall(form))) <= 1 or form in _SAYS_NOTHING


def primary_language(tag: str) -> str:
    """The language of a language tag, whichever way a system writes it.

    >>> primary_language("de_DE"), primary_language("DE-at"), primary_language("sv.UTF-8")
    ('de', 'de', 'sv')
    """
    return re.split(r"[-_.@]", tag.strip(), maxsplit=1)[0].lower()
