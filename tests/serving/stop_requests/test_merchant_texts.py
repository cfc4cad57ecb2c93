"""What a merchant reads about a stop request, in every language."""

import re
from string import Formatter

import pytest

from serving.domain.answer_consequences import ConsequenceCode
from serving.domain.local_forms import local_amount
from serving.domain.merchant_answer import AnswerKind, MistakeCode
from serving.domain.merchant_texts import TEXTS, answer_label, consequence_text, field_label, merchant_text
from serving.domain.text_files import FALLBACK_LANGUAGE, LANGUAGE_NAMES, LANGUAGES, text_language

REASONS_AND_ACCUSATIONS = re.compile(
    r"fraud|betrug|betrüg|svindel|svindl|bedrägeri|bedrageri|bedrieg|bedrog|oplicht|scam|stolen|gestohlen"
    r"|stjålet|gestolen|stulen|identity|identität|identitet|identiteit|suspicio|suspect|verdacht|verdächtig"
    r"|mistank|misstank|misstänk|police|polizei|politi|polis|victim|opfer|slachtoffer",
    re.IGNORECASE,
)
PERSONAL_ADDRESS = re.compile(r"\b(mr|mrs|ms|herr|frau|hr|fru|meneer|mevrouw|dhr|mevr)\b", re.IGNORECASE)
VALUES = {
    "answer_hours": "24",
    "answer": "The parcel has come back to us",
    "amount": "EUR 1,234.56",
    "customer_service": "+46 8 000 00 00",
    "address": "o…@shop.example",
    "contact": "E-mail: o…@shop.example",
    "merchant_name": "Shop & Co",
    "deadline": "1 March 2026, 14:30 (CET)",
    "field": "Carrier",
    "files": "10",
    "happened": "The order came back as a return.",
    "hours": "24",
    "invoice_id": "I-1001",
    "link": "https://provider.example/stop/abc",
    "maximum": "100",
    "order_id": "A-1001",
    "period": "2026-11",
    "provider_name": "Bonitas",
    "question": "When did the parcel leave?",
    "reason": "The goods have not arrived",
    "settlement_id": "set-o1-0001",
    "time": "1 March 2026, 14:30 (CET)",
    "topic": "order.returned",
}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def body(language: str) -> str:
    return merchant_text(
        "email.body",
        language,
        provider_name="Bonitas",
        merchant_name="Shop & Co",
        customer_service="+46 8 000 00 00",
        order_id="A-{1001}",
        amount=local_amount(123456, "EUR", language),
        link="https://provider.example/stop/abc",
        answer_hours="24",
    )


@pytest.mark.parametrize("code", TEXTS)
def test_every_text_exists_in_every_language_and_in_no_other(code: str) -> None:
    assert tuple(TEXTS[code]) == LANGUAGES
    assert all(text.strip() for text in TEXTS[code].values())


@pytest.mark.parametrize("code", TEXTS)
def test_every_language_has_the_same_placeholders_and_none_for_a_person(code: str) -> None:
    expected = placeholders(TEXTS[code][FALLBACK_LANGUAGE])
    assert all(placeholders(text) == expected for text in TEXTS[code].values())
    assert expected <= VALUES.keys()


@pytest.mark.parametrize("code", TEXTS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_accuses_gives_a_reason_or_addresses_a_person(code: str, language: str) -> None:
    assert not REASONS_AND_ACCUSATIONS.search(TEXTS[code][language])
    assert not PERSONAL_ADDRESS.search(TEXTS[code][language])


@pytest.mark.parametrize("code", TEXTS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rendered_text_has_no_unfilled_placeholder(code: str, language: str) -> None:
    assert not re.search(r"[{}]", merchant_text(code, language, **VALUES))


@pytest.mark.parametrize(
    "code", [code for code in TEXTS if code.startswith(("answer.", "field.", "button.", "consequence."))]
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_labels_and_consequences_need_no_value(code: str, language: str) -> None:
    assert merchant_text(code, language) == TEXTS[code][language]


def test_a_missing_value_or_an_unknown_code_is_refused() -> None:
    with pytest.raises(KeyError, match="order_id"):
        merchant_text("email.subject", "de")
    with pytest.raises(KeyError, match=r"form\.unheard_of"):
        merchant_text("form.unheard_of", "de")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_has_a_label_of_its_own_and_every_consequence_a_sentence(language: str) -> None:
    labels = [answer_label(kind, language) for kind in AnswerKind]
    sentences = [consequence_text(code, language) for code in ConsequenceCode]
    assert len(set(labels)) == len(AnswerKind)
    assert len(set(sentences)) == len(ConsequenceCode)
    assert all(sentence.count(".") == 1 and sentence.endswith(".") for sentence in sentences)


def test_no_answer_or_consequence_text_is_left_over() -> None:
    codes = {code for code in TEXTS if code.startswith(("answer.", "consequence."))}
    assert codes == {f"answer.{kind.value}" for kind in AnswerKind} | {
        f"consequence.{code.value}" for code in ConsequenceCode
    }


def test_every_mistake_in_a_field_has_a_text_of_its_own() -> None:
    for language in LANGUAGES:
        texts = {merchant_text(f"error.{code.value}", language, **VALUES) for code in MistakeCode}
        assert len(texts) == len(MistakeCode)


def test_every_language_has_a_name_and_no_two_the_same() -> None:
    assert tuple(LANGUAGE_NAMES) == LANGUAGES
    assert len(set(LANGUAGE_NAMES.values())) == len(LANGUAGES)


@pytest.mark.parametrize("field", ["kind", "carrier", "tracking_number", "note"])
def test_every_field_of_the_form_has_a_label(field: str) -> None:
    assert all(field_label(field, language) for language in LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_subject_is_one_line_with_the_order(language: str) -> None:
    subject = merchant_text("email.subject", language, order_id="A-1001")
    assert "A-1001" in subject
    assert len(subject.splitlines()) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_email_holds_shop_order_amount_link_time_to_answer_and_customer_service(language: str) -> None:
    text = body(language)
    assert "A-{1001}\n" in text
    assert "Shop & Co\n" in text
    assert local_amount(123456, "EUR", language) in text
    assert "\nhttps://provider.example/stop/abc\n" in text
    assert " 24 " in text
    assert "+46 8 000 00 00" in text


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The risk lies with the order, not with the person named as recipient."),
        ("de", "Das Risiko betrifft die Bestellung, nicht die Person, die als Empfänger angegeben ist."),
        ("da", "Risikoen knytter sig til ordren, ikke til den person, der er angivet som modtager."),
        (
            "nl",
            "Het risico betreft de bestelling, niet de persoon die als ontvanger is opgegeven.",
        ),
        ("sv", "Risken gäller ordern, inte den person som har angetts som mottagare."),
    ],
)
def test_the_email_and_the_form_say_that_the_risk_lies_with_the_order(language: str, sentence: str) -> None:
    assert sentence in body(language)
    assert sentence in TEXTS["form.introduction"][language]


@pytest.mark.parametrize("language", ["fi", "", "xx-DE", "english"])
def test_an_unknown_language_is_answered_in_english(language: str) -> None:
    assert text_language(language) == "en"
    assert body(language) == body("en")
    assert answer_label(AnswerKind.SERVICE_CUT, language) == answer_label(AnswerKind.SERVICE_CUT, "en")


@pytest.mark.parametrize(
    ("wanted", "given_language"), [("de-AT", "de"), ("nl_BE", "nl"), ("SV", "sv"), ("da", "da")]
)
def test_a_regional_language_is_answered_in_its_language(wanted: str, given_language: str) -> None:
    assert text_language(wanted) == given_language


@pytest.mark.parametrize(
    ("code", "language", "words"),
    [
        ("form.not_sent_heading", "da", "Jeres svar kunne ikke registreres"),
        ("error.other_site", "da", "så vi har afvist det"),
        ("consequence.liability_moves_to_merchant", "da", "hæftelsen"),
        ("consequence.merchant_recalls_parcel", "nl", "laten terugsturen of onderscheppen"),
        ("field.note", "sv", "Kommentar"),
        ("error.contradicting_answer", "sv", "i kommentaren"),
        ("form.not_sent_heading", "sv", "Ert svar kunde inte godkännas"),
        ("consequence.merchant_recalls_parcel", "de", "zurückholen lassen"),
    ],
)
def test_what_native_readers_corrected_stays_corrected(code: str, language: str, words: str) -> None:
    """Where the words before said another thing: not received, a default on record, a product recall."""
    assert words in TEXTS[code][language]
