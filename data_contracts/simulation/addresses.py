"""Addresses of the simulated book: streets, cities and postal codes of each country."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.simulation.book_calendar import COUNTRIES
from data_contracts.simulation.names_and_streets import STREETS
from data_contracts.simulation.text_columns import chosen, joined, numbered

Positions = NDArray[np.int64]

_CITIES = (
    (
        ("Berlin", "10"), ("Hamburg", "20"), ("München", "80"), ("Köln", "50"), ("Frankfurt am Main", "60"),
        ("Stuttgart", "70"), ("Düsseldorf", "40"), ("Leipzig", "04"), ("Dortmund", "44"), ("Essen", "45"),
        ("Bremen", "28"), ("Dresden", "01"), ("Hannover", "30"), ("Nürnberg", "90"), ("Duisburg", "47"),
        ("Bochum", "44"), ("Wuppertal", "42"), ("Bielefeld", "33"), ("Bonn", "53"), ("Münster", "48"),
        ("Karlsruhe", "76"), ("Mannheim", "68"), ("Augsburg", "86"), ("Kiel", "24"), ("Erfurt", "99"),
        ("Rostock", "18"), ("Kassel", "34"), ("Freiburg", "79"), ("Jena", "07"), ("Trier", "54"),
    ),
    (("Wien", "10"), ("Graz", "80"), ("Linz", "40"), ("Salzburg", "50"), ("Innsbruck", "60")),
    (("Amsterdam", "10"), ("Rotterdam", "30"), ("Utrecht", "35"), ("Eindhoven", "56")),
    (("Helsinki", "00"), ("Espoo", "02"), ("Tampere", "33")),
)  # fmt: skip

_CITY_NAMES = tuple(name for cities in _CITIES for name, _ in cities)
_CITY_PREFIXES = tuple(prefix for cities in _CITIES for _, prefix in cities)
_FIRST_CITY = np.cumsum([0, *(len(cities) for cities in _CITIES)])
_POSTAL_DIGITS_AFTER_PREFIX = (3, 2, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """A pool of addresses; a position in it is an address."""

    street: Positions
    house_number: Positions
    city: Positions
    postal: Positions
    country: Positions

    def streets(self, at: Positions) -> Any:
        """Street names of the addresses `at`."""
        return chosen(tuple(street.replace("_", " ") for street in STREETS), self.street[at])

    def house_numbers(self, at: Positions) -> Any:
        """House numbers, some with a letter."""
        letter = chosen(("", "", "", "", "", "", "a", "b", "c"), self.postal[at] % 9)
        return joined(numbered("", self.house_number[at], width=1), letter)

    def postal_codes(self, at: Positions) -> Any:
        """Postal codes in the form of the country."""
        country = self.country[at]
        digits = np.array(_POSTAL_DIGITS_AFTER_PREFIX)[country]
        rest = pc.if_else(
            digits == 3,
            numbered("", self.postal[at] % 1000, width=3),
            numbered("", self.postal[at] % 100, width=2),
        )
        suffix = pc.if_else(country == 2, chosen((" AB", " CD", " GK", " XR"), self.postal[at] % 4), "")
        return joined(chosen(_CITY_PREFIXES, self.city[at]), rest, suffix)

    def cities(self, at: Positions) -> Any:
        """City names."""
        return chosen(_CITY_NAMES, self.city[at])

    def countries(self, at: Positions) -> Any:
        """Country codes."""
        return chosen(COUNTRIES, self.country[at])


def draw_addresses(random: np.random.Generator, country: Positions) -> Addresses:
    """An address in each of the countries, given as positions in `COUNTRIES`."""
    cities = np.diff(_FIRST_CITY)[country]
    size = len(country)
    # The larger cities stand first in the list and hold most of the customers.
    rank = (random.random(size) ** 1.7 * cities).astype(np.int64)
    return Addresses(
        street=random.integers(0, len(STREETS), size),
        house_number=1 + random.geometric(0.035, size),
        city=_FIRST_CITY[country] + rank,
        postal=random.integers(0, 10_000, size),
        country=country,
    )
