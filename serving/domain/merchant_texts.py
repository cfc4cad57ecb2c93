"""Merchant texts: everything a merchant reads about a stop request or its account, in five languages.

No text names a person or says why the order was judged a risk.
"""

from serving.domain.answer_consequences import ConsequenceCode
from serving.domain.merchant_answer import AnswerKind
from serving.domain.text_files import text_language, texts_by_code

TEXTS = texts_by_code("merchant")
"""Every text by its code, such as `email.subject`, then by language."""


def merchant_text(code: str, language: str, **values: str) -> str:
    """The text of a code with its placeholders filled.

    Raises KeyError for an unknown code or a placeholder without a value: nothing half-filled is sent.
    """
    return TEXTS[code][text_language(language)].format_map(values)


def answer_label(kind: AnswerKind, language: str) -> str:
    """How an answer is offered in the form."""
    return merchant_text(f"answer.{kind.value}", language)


def field_label(field: str, language: str) -> str:
    """The label of a field of the forms, such as carrier or tracking_number."""
    return merchant_text(f"field.{field}", language)


def consequence_text(code: ConsequenceCode, language: str) -> str:
    """What follows from the merchant's answer, as one sentence to the merchant."""
    return merchant_text(f"consequence.{code.value}", language)
