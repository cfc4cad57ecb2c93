"""The translators' files: complete, alike in what they fill in, and refused by name where they are not."""

import tomllib
from pathlib import Path

import pytest

from serving.domain.errors import TextsInvalid
from serving.domain.text_files import FALLBACK_LANGUAGE, FOLDER, LANGUAGES, read_texts, texts_of

ROOT = Path(__file__).parents[3]
ENGLISH = """
name = "English"
[merchant.email]
subject = "Order {order_id}"
body = "Hello {provider_name}"
[customer.reason]
under_age = "From {minimum_age_years} years on."
"""
GERMAN = """
name = "Deutsch"
[merchant.email]
subject = "Bestellung {order_id}"
body = "Guten Tag, {provider_name}"
"""


def mistakes_of(german: str) -> list[str]:
    with pytest.raises(TextsInvalid) as refused:
        texts_of({"en": ENGLISH, "de": german})
    return refused.value.mistakes


def test_there_is_one_file_for_each_language_and_no_other() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {f"{language}.toml" for language in LANGUAGES}


def test_every_language_has_every_text_for_merchants_and_those_for_customers_whole_or_not_at_all() -> None:
    texts = read_texts(FOLDER)
    english = set(texts[FALLBACK_LANGUAGE])
    without_customers = {key for key in english if not key.startswith("customer.")}
    assert all(set(of_one) in (english, without_customers) for of_one in texts.values())
    assert [language for language in LANGUAGES if set(texts[language]) == english] == ["en", "de"]


def test_a_language_may_leave_the_customers_texts_out() -> None:
    assert set(texts_of({"en": ENGLISH, "de": GERMAN})["de"]) == {
        "name",
        "merchant.email.subject",
        "merchant.email.body",
    }


def test_a_text_keeps_its_lines_its_blanks_and_its_doubled_braces() -> None:
    german = GERMAN.replace('"Guten Tag, {provider_name}"', '"""\nEins {provider_name}\n\n {{zwei}}\n"""')
    assert texts_of({"en": ENGLISH, "de": german})["de"]["merchant.email.body"] == (
        "Eins {provider_name}\n\n {{zwei}}\n"
    )


@pytest.mark.parametrize(
    ("written", "instead", "mistake"),
    [
        ("{order_id}", "{bestellung}", "must fill in {order_id} as en.toml does, not {bestellung}"),
        ("{order_id}", "", "must fill in {order_id} as en.toml does, not nothing"),
        ("{order_id}", "{order_id", "braces must stand in pairs: expected '}' before end of string"),
        ("{order_id}", "{order_id:>9}", "braces must hold one plain name, such as {order_id}"),
        ("{order_id}", "{order_id!r}", "braces must hold one plain name, such as {order_id}"),
        ("{order_id}", "{order_id.__class__}", "braces must hold one plain name, such as {order_id}"),
        ("{order_id}", "{}", "braces must hold one plain name, such as {order_id}"),
        ('"Bestellung {order_id}"', '"  "', "must not be blank"),
        ('"Bestellung {order_id}"', "7", "must be a text in quotes"),
        ('"Bestellung {order_id}"', '["Bestellung"]', "must be a text in quotes"),
    ],
)
def test_a_wrong_text_is_refused_by_file_key_and_rule(written: str, instead: str, mistake: str) -> None:
    told = mistakes_of(GERMAN.replace(written, instead))
    assert f"de.toml: merchant.email.subject: {mistake}" in told
    assert all(one.startswith("de.toml: merchant.email.subject: ") for one in told)


def test_every_mistake_is_named_at_once() -> None:
    german = GERMAN.replace("subject =", "subjekt =").replace("name =", "Name =")
    assert mistakes_of(german + '[customer.reason]\nover_age = "Zu alt."\n') == [
        "de.toml: Name: must be of small letters, digits and underscores",
        "de.toml: customer.reason.over_age: is no text of en.toml",
        "de.toml: customer.reason.under_age: is missing",
        "de.toml: merchant.email.subject: is missing",
        "de.toml: merchant.email.subjekt: is no text of en.toml",
        "de.toml: name: is missing",
    ]


def test_a_text_that_stands_twice_and_a_file_that_is_no_toml_are_refused() -> None:
    assert mistakes_of(GERMAN + 'body = "Noch einmal"')[0].startswith(
        "de.toml: is no TOML: Cannot overwrite a value"
    )
    assert any(one.startswith("de.toml: is no TOML: ") for one in mistakes_of("name = Deutsch"))


def test_a_language_without_its_file_a_file_without_its_language_and_another_encoding_are_refused(
    tmp_path: Path,
) -> None:
    for language in LANGUAGES:
        (tmp_path / f"{language}.toml").write_text((FOLDER / f"{language}.toml").read_text())
    assert read_texts(tmp_path) == read_texts(FOLDER)
    (tmp_path / "nl.toml").rename(tmp_path / "nk.toml")
    (tmp_path / "da.toml").write_bytes('name = "Dånsk"'.encode("latin-1"))
    with pytest.raises(TextsInvalid) as refused:
        read_texts(tmp_path)
    assert refused.value.mistakes == [
        "da.toml: must be in UTF-8, byte 9 is not",
        "nk.toml: is the file of no language (en, de, da, nl, sv)",
        "nl.toml: is missing",
    ]


def test_the_files_are_part_of_the_package() -> None:
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {file for pattern in package_data["serving.domain"] for file in FOLDER.parent.glob(pattern)}
    assert packed >= set(FOLDER.iterdir())
