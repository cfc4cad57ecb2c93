"""The customers: registration, verification, residence, and who lives with whom."""

import hmac
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from data_contracts.simulation.addresses import Addresses, Positions, draw_addresses
from data_contracts.simulation.book_calendar import COUNTRIES, COUNTRY_WEIGHTS, BookCalendar, Instants
from data_contracts.simulation.names_and_streets import FAMILY_NAMES, GIVEN_NAMES
from data_contracts.simulation.recording_delay import within_minutes
from data_contracts.simulation.text_columns import chosen, dates, joined, numbered, where_present

_DIALLING = ("+49 15", "+43 660 ", "+31 6 ", "+358 40 ")
_EMAIL_DOMAINS = ("post.example", "mail.example", "briefkasten.example", "netz.example", "web.example")
_LANGUAGES = ("de", "de", "nl", "fi", "en")
_ASCII = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})

_DOCUMENT_KEY = b"the key of a simulated sender"

HONEST, RING, FRESH, MISUSE = 0, 1, 2, 3
"""What an account was opened for; MISUSE is opened in a victim's name."""


@dataclass(frozen=True, kw_only=True)
class People:
    """Every customer of the book, one position each. -1 stands for never or none.

    purpose: HONEST, RING, FRESH or MISUSE.  ring: which ring an account of purpose RING belongs to.
    home, later_home: positions in `addresses`; moved: when the customer moved from one to the other.
    household: the customer whose home, and often device, is shared; own position when alone.
    """

    purpose: Positions
    ring: Positions
    victim: Positions
    given_name: Positions
    family_name: Positions
    birth_day: Positions
    country: Positions
    language: Positions
    email_number: Positions
    email_domain: Positions
    phone: Positions
    household: Positions
    home: Positions
    later_home: Positions
    moved: Instants
    registered: Instants
    verified: Instants
    document_expires: Positions
    addresses: Addresses

    def __len__(self) -> int:
        return len(self.purpose)

    def emails(self) -> Any:
        """E-mail addresses under names that nobody can own."""
        given = chosen(tuple(name.translate(_ASCII).lower() for name in GIVEN_NAMES), self.given_name)
        family = chosen(tuple(name.translate(_ASCII).lower() for name in FAMILY_NAMES), self.family_name)
        domain = chosen(_EMAIL_DOMAINS, self.email_domain)
        return joined(given, ".", family, numbered("", self.email_number, width=1), "@", domain)

    def phones(self) -> Any:
        """Mobile numbers in international form."""
        return joined(chosen(_DIALLING, self.country), numbered("", self.phone, width=9))

    def full_names(self, at: Positions) -> Any:
        """Given and family name of the customers `at`."""
        return joined(
            chosen(GIVEN_NAMES, self.given_name[at]), " ", chosen(FAMILY_NAMES, self.family_name[at])
        )

    def home_at(self, customer: Positions, instants: Instants) -> Positions:
        """Where each customer lived at each instant."""
        moved = self.moved[customer]
        return np.where((moved >= 0) & (instants >= moved), self.later_home[customer], self.home[customer])


def _registrations(random: np.random.Generator, calendar: BookCalendar, size: int) -> Instants:
    span = calendar.end_ms - calendar.start_ms
    before = random.random(size) < 0.38
    earlier = calendar.start_ms - (random.random(size) ** 1.3 * 4 * 365 * DAY_MS).astype(np.int64) - DAY_MS
    # Growth: the density of registrations doubles over the book.
    share = np.sqrt(1.0 + 3.0 * random.random(size)) - 1.0
    within = calendar.start_ms + (share * (span - 20 * DAY_MS)).astype(np.int64)
    return np.where(before, earlier, within)


def draw_people(random: np.random.Generator, calendar: BookCalendar, *, customers: int) -> People:
    """Draw the customers, the few dishonest ones among them."""
    at = np.arange(customers)
    roll = random.random(customers)
    purpose = np.select([roll < 0.0085, roll < 0.0135, roll < 0.0200], [RING, FRESH, MISUSE], HONEST)
    dishonest = purpose != HONEST
    registered = _registrations(random, calendar, customers)
    span = calendar.end_ms - calendar.start_ms
    recent = calendar.start_ms + (random.random(customers) * (span - 10 * DAY_MS)).astype(np.int64)
    registered = np.where(dishonest, recent, registered)

    ring_accounts = np.flatnonzero(purpose == RING)
    ring = np.full(customers, -1)
    rings = max(1, len(ring_accounts) // 6)
    ring_of_account = np.sort(random.integers(0, rings, len(ring_accounts)))
    ring[ring_accounts] = ring_of_account
    ring_start = calendar.start_ms + (random.random(rings) * (span - 40 * DAY_MS)).astype(np.int64)
    registered[ring_accounts] = ring_start[ring_of_account] + random.integers(
        0, 30 * DAY_MS, len(ring_accounts)
    )

    country = random.choice(len(COUNTRIES), customers, p=COUNTRY_WEIGHTS)
    household = at.copy()
    shares = (random.random(customers) < 0.16) & ~dishonest & (at > 0)
    household[shares] = (at[shares] * random.random(int(shares.sum()))).astype(np.int64)
    household = household[household]
    country = country[household]
    # Four addresses for each customer: home, next home, another place for parcels, a place for drops.
    addresses = draw_addresses(random, np.tile(country, 4))

    family_name = (random.random(customers) ** 1.4 * len(FAMILY_NAMES)).astype(np.int64)
    same_name = random.random(customers) < 0.7
    family_name = np.where(same_name, family_name[household], family_name)
    given_name = random.integers(0, len(GIVEN_NAMES), customers)
    victim = np.full(customers, -1)
    misuse = purpose == MISUSE
    victim[misuse] = household[random.integers(0, customers, int(misuse.sum()))]
    given_name = np.where(misuse, given_name[victim], given_name)
    family_name = np.where(misuse, family_name[victim], family_name)
    home = np.where(misuse, household[victim], household)
    country = np.where(misuse, country[victim], country)

    ring_position = np.maximum(ring, 0)
    email_number = np.where(
        ring >= 0, 100 + 37 * ring_position + at % 10, random.integers(1, 9_999, customers)
    )
    email_domain = random.integers(0, len(_EMAIL_DOMAINS), customers)
    email_domain = np.where(ring >= 0, ring_position % len(_EMAIL_DOMAINS), email_domain)

    verified = (
        registered
        + np.minimum(random.exponential(6 * HOUR_MS, customers), 4 * DAY_MS).astype(np.int64)
        + 12 * MINUTE_MS
    )
    never = (random.random(customers) < 0.02) & ~dishonest
    verified[never] = -1
    age_days = (18.1 + random.gamma(2.6, 8.6, customers)) * 365.25
    age_days = np.where(never & (random.random(customers) < 0.2), 17.2 * 365.25, np.minimum(age_days, 33_000))
    moved = registered + random.integers(60 * DAY_MS, 6 * 365 * DAY_MS, customers)
    stays = (random.random(customers) < 0.6) | dishonest | never | (moved < calendar.start_ms - 300 * DAY_MS)
    moved[stays] = -1
    language = np.where(random.random(customers) < 0.05, 4, country)
    return People(
        purpose=purpose,
        ring=ring,
        victim=victim,
        given_name=given_name,
        family_name=family_name,
        birth_day=registered // DAY_MS - age_days.astype(np.int64),
        country=country,
        language=language,
        email_number=email_number,
        email_domain=email_domain,
        phone=random.integers(10_000_000, 999_999_999, customers),
        household=household,
        home=home,
        later_home=customers + at,
        moved=moved,
        registered=registered,
        verified=verified,
        document_expires=registered // DAY_MS + random.integers(40, 3_650, customers),
        addresses=addresses,
    )


def customer_rows(random: np.random.Generator, calendar: BookCalendar, people: People) -> dict[str, Any]:
    """The ledger columns of `customers`: registration, verification, moves and renewed documents."""
    everyone = np.arange(len(people))
    verified = np.flatnonzero(people.verified >= 0)
    movers = np.flatnonzero(people.moved >= 0)
    renewed_at = people.document_expires * DAY_MS - random.integers(DAY_MS, 40 * DAY_MS, len(people))
    renewed_at = np.maximum(renewed_at, people.verified + 2 * HOUR_MS)
    expires_in_book = renewed_at < calendar.end_ms
    renewers = np.flatnonzero(expires_in_book & (people.verified >= 0))
    renewal_expires = people.document_expires + 3_650

    customer = np.concatenate([everyone, verified, movers, renewers])
    occurred = np.concatenate(
        [people.registered, people.verified[verified], people.moved[movers], renewed_at[renewers]]
    )
    recorded = within_minutes(random, occurred)
    # A state may not be recorded before the one that it replaces.
    recorded[: len(everyone)] = people.registered + random.integers(20, 5_000, len(everyone))
    is_verified = (people.verified[customer] >= 0) & (occurred >= people.verified[customer])
    has_renewed = is_verified & (occurred >= renewed_at[customer]) & expires_in_book[customer]
    moved = (people.moved[customer] >= 0) & (occurred >= people.moved[customer])
    address = np.where(moved, people.later_home[customer], people.home[customer])
    email_confirmed = np.where(is_verified, people.registered[customer] + 4 * MINUTE_MS, -1)
    pending = random.random(len(people)) < 0.5
    expires = np.where(has_renewed, renewal_expires[customer], people.document_expires[customer])
    addresses = people.addresses
    return {
        "customer_id": customer_ids(customer),
        "registered_at": people.registered[customer],
        "given_name": chosen(GIVEN_NAMES, people.given_name[customer]),
        "family_name": chosen(FAMILY_NAMES, people.family_name[customer]),
        "birth_date": dates(people.birth_day[customer], absent=-(10**9)),
        "email": people.emails().take(customer),
        "phone": people.phones().take(customer),
        "residence_street": addresses.streets(address),
        "residence_house_number": addresses.house_numbers(address),
        "residence_postal_code": addresses.postal_codes(address),
        "residence_city": addresses.cities(address),
        "residence_country": addresses.countries(address),
        "language": chosen(_LANGUAGES, people.language[customer]),
        "identity_status": chosen(
            ("unverified", "pending", "verified"), np.where(is_verified, 2, pending[customer])
        ),
        "identity_document_expires_on": dates(np.where(is_verified, expires, -1)),
        "identity_document_hmac": chosen(
            _document_hmacs(2 * len(people)), customer + len(people) * has_renewed, missing=~is_verified
        ),
        "email_confirmed_at": where_present(email_confirmed),
        "phone_confirmed_at": where_present(
            np.where(is_verified, people.verified[customer] - 5 * MINUTE_MS, -1)
        ),
        "personal_data_confirmed_at": where_present(np.where(is_verified, occurred, -1)),
        "occurred_at": occurred,
        "recorded_at": recorded,
    }


def _document_hmacs(documents: int) -> tuple[str, ...]:
    """What the sender of a book makes of the numbers of so many identity documents."""
    return tuple(hmac.digest(_DOCUMENT_KEY, b"%d" % number, "sha256").hex() for number in range(documents))


def customer_ids(customer: Positions) -> Any:
    """Ids of the customers at positions `customer`."""
    return numbered("cus-", customer + 1, width=6)
