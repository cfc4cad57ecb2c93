"""What no ledger shows: each customer's means, discipline and the stress of each month."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.simulation.book_calendar import MONTH_MS, BookCalendar, Instants

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Temperament:
    """The latent state of every customer.

    means: income against obligations, standard normal, higher is better off.
    discipline: care about due dates, standard normal, higher is better.
    stress: shape (customer, month of the grid), financial stress, about standard normal plus the drift.
    """

    means: Numbers
    discipline: Numbers
    stress: NDArray[np.float32]

    def stress_at(self, calendar: BookCalendar, customer: NDArray[np.int64], instants: Instants) -> Numbers:
        """The stress of each customer in the month of each instant."""
        return self.stress[customer, calendar.grid_month(instants)].astype(np.float64)


_PERSISTENCE = 0.9
_SPELL_ONSET = 0.012
_SPELL_END = 0.16
_SPELL_WEIGHT = 1.3
_DRIFT = 0.30


def draw_temperament(
    random: np.random.Generator, calendar: BookCalendar, *, customers: int, registered: Instants
) -> Temperament:
    """Draw the latent states.

    Stress is made of lasting means, a slow autoregression, spells (lost work, a separation) that begin
    at once and end after some months, and living costs that rise through the book. Customers who came
    late in the growth are a little worse off.
    """
    arrival = calendar.share_of_book(registered)
    means = random.standard_normal(customers) - 0.25 * arrival
    discipline = random.standard_normal(customers) + 0.25 * means
    months = calendar.grid_months
    stress = np.empty((customers, months), dtype=np.float32)
    slow = random.standard_normal(customers)
    in_spell = random.random(customers) < _SPELL_ONSET / (_SPELL_ONSET + _SPELL_END)
    step = np.sqrt(1.0 - _PERSISTENCE**2)
    for month in range(months):
        slow = _PERSISTENCE * slow + step * random.standard_normal(customers)
        onset = random.random(customers) < _SPELL_ONSET * np.exp(-0.5 * means)
        in_spell = np.where(in_spell, random.random(customers) >= _SPELL_END, onset)
        instant = calendar.history_start_ms + month * MONTH_MS
        costs = _DRIFT * float(calendar.share_of_book(np.array([instant]))[0])
        stress[:, month] = -0.65 * means + 0.6 * slow + _SPELL_WEIGHT * in_spell + costs
    return Temperament(means=means, discipline=discipline, stress=stress)
