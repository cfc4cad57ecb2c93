"""One key for one mailbox and one telephone, however they are written; whom to contact is what was sent."""

from functools import lru_cache

import phonenumbers

from data_contracts.text_form import in_one_form, says_nothing

_PLUS, _MINUS = "+", "-"
_DOTS_AND_PLUS = frozenset({"gmail.com"})
"""Mail for j.doe+shop and for jdoe comes to one mailbox there."""
_TAG_SIGN = {
    **dict.fromkeys(
        (
            *("fastmail.com", "hey.com", "hotmail.com", "icloud.com", "live.com", "mac.com", "mailbox.org"),
            *("me.com", "msn.com", "outlook.com", "outlook.de", "posteo.de", "hotmail.de", "live.de"),
            *("proton.me", "protonmail.com", "pm.me", "gmail.com", "zoho.com"),
        ),
        _PLUS,
    ),
    **dict.fromkeys(("yahoo.com", "yahoo.de", "ymail.com", "rocketmail.com"), _MINUS),
}
_SAME_MAILBOXES = {"googlemail.com": "gmail.com", "protonmail.com": "proton.me", "pm.me": "proton.me"}
_NOBODYS = frozenset(
    {"donotreply", "keine", "keineemail", "noemail", "nomail", "no-reply", "noreply", "nobody", "no-email"}
)


@lru_cache(maxsize=65536)
def email_domain(email: str) -> str:
    """The domain of an e-mail address, in its one form.

    >>> email_domain("Erika@Example.COM "), email_domain("a@bücher.example")
    ('example.com', 'xn--bcher-kva.example')
    """
    domain = in_one_form(email).rpartition("@")[2].casefold().rstrip(".")
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain


@lru_cache(maxsize=65536)
def mailbox_key(email: str) -> str | None:
    """One key for one mailbox; None for an address that says nothing, such as unknown@ or noreply@.

    Dots and what follows a plus or minus count where the provider delivers by them.

    >>> mailbox_key("Erika.Muster+shop@googlemail.com") == mailbox_key("erikamuster@gmail.com")
    True
    >>> mailbox_key("erika.muster@web.example") == mailbox_key("erikamuster@web.example")
    False
    """
    form = in_one_form(email).casefold()
    local, at, _ = form.rpartition("@")
    domain = email_domain(form)
    domain = _SAME_MAILBOXES.get(domain, domain)
    tag_sign = _TAG_SIGN.get(domain)
    if tag_sign is not None:
        local = local.partition(tag_sign)[0] or local
    if domain in _DOTS_AND_PLUS:
        local = local.replace(".", "")
    if not at or not domain or local in _NOBODYS or (says_nothing(local) and len(local) > 1):
        return None
    return f"{local}@{domain}"


@lru_cache(maxsize=65536)
def phone_key(phone: str | None, country: str | None) -> str | None:
    """One key for one telephone, dialled from a country: its international form; None where it is none.

    >>> phone_key("(030) 1234567", "DE"), phone_key("0049 30/123 45 67", "AT"), phone_key("000000", "DE")
    ('+49301234567', '+49301234567', None)
    """
    if not phone:
        return None
    try:
        number = phonenumbers.parse(in_one_form(phone), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number) or says_nothing(str(number.national_number)):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
