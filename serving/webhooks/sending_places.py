"""Which messages may be on their way at once, so that whoever hangs holds up nobody else.

Messages to one endpoint take turns, and so do those that the mail server is to bring. Whoever has answered
has places of its own. Whoever was never tried has a place at once; where no answer comes within a second, the
message waits on beside and its place is another's. Whoever did not answer last shares a few places with its
like.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

AT_ONE_ENDPOINT = 4
"""On their way to one endpoint, or by the mail server, where it answers; one else."""
BEGUN_AT_ONCE = 64
"""Begun within the last second: this bounds what a worker does, not what it waits for."""
UNTRIED_BEGUN_AT_ONCE = 48
"""Of them to those who have not answered yet: there is always room for those who do."""
HANGING_AT_ONCE = 32
"""To those who did not answer last: all of them together."""
UNPROVEN_AT_ONCE = 256
"""To all who have not answered yet or not last, however long they have been waited for: each is a thread."""
ON_THE_WAY_AT_ONCE = 384
SLOW_AFTER_SECONDS = 1.0


class Standing(Enum):
    """What is known of an endpoint, or of the mail server, since this worker began."""

    ANSWERS = "answers"
    UNTRIED = "untried"
    HANGS = "hangs"


@dataclass(frozen=True, kw_only=True)
class _OnTheWay:
    turn: str
    began_s: float


class SendingPlaces:
    """Who may send now. Instants are seconds of a clock that only moves on; for one thread."""

    def __init__(self) -> None:
        self._on_the_way: dict[int, _OnTheWay] = {}
        self._of_turn: Counter[str] = Counter()
        self._standing: dict[str, Standing] = {}

    def __len__(self) -> int:
        """How many messages are on their way."""
        return len(self._on_the_way)

    def standing(self, turn: str) -> Standing:
        """What is known of the one whose turn it is."""
        return self._standing.get(turn, Standing.UNTRIED)

    def did_not_answer_before(self, turn: str) -> bool:
        """Take over what the store knows of attempts; True where that was not known here."""
        if turn in self._standing:
            return False
        self._standing[turn] = Standing.HANGS
        return True

    def room(self, now_s: float) -> "Room":
        """What may begin now, beside what is on its way."""
        standings = [(self.standing(one.turn), one.began_s) for one in self._on_the_way.values()]
        return Room(
            self,
            of_turn=self._of_turn.copy(),
            on_the_way=Counter(standing for standing, _ in standings),
            begun=Counter(standing for standing, at_s in standings if now_s - at_s < SLOW_AFTER_SECONDS),
        )

    def full_turns(self) -> list[str]:
        """Whose messages need not be looked for, because none may begin."""
        full = {turn for turn, count in self._of_turn.items() if count >= self.places_of(turn)}
        hanging = sum(self.standing(one.turn) is Standing.HANGS for one in self._on_the_way.values())
        if hanging >= HANGING_AT_ONCE:
            full |= {turn for turn, standing in self._standing.items() if standing is Standing.HANGS}
        return sorted(full)

    def answering_turns(self) -> list[str]:
        """Those who have answered."""
        return sorted(turn for turn, standing in self._standing.items() if standing is Standing.ANSWERS)

    def begins(self, attempt: int, turn: str, now_s: float) -> None:
        """A message is on its way. attempt: a number that no other has."""
        self._on_the_way[attempt] = _OnTheWay(turn=turn, began_s=now_s)
        self._of_turn[turn] += 1

    def comes_back(self, attempt: int, *, answered: bool) -> None:
        """It is back. answered: whatever the answer was."""
        turn = self._on_the_way.pop(attempt).turn
        self._of_turn[turn] -= 1
        if not self._of_turn[turn]:
            del self._of_turn[turn]
        self._standing[turn] = Standing.ANSWERS if answered else Standing.HANGS

    def places_of(self, turn: str) -> int:
        """How many messages of one turn may be on their way."""
        return AT_ONE_ENDPOINT if self.standing(turn) is Standing.ANSWERS else 1


class Room:
    """The places that are free at one instant, given out one by one.

    of_turn, on_the_way, begun: how many messages are on their way by turn and by standing, and of the latter
    how many began within the last second.
    """

    def __init__(
        self,
        places: SendingPlaces,
        *,
        of_turn: Counter[str],
        on_the_way: Counter[Standing],
        begun: Counter[Standing],
    ) -> None:
        self._places = places
        self._of_turn = of_turn
        self._on_the_way = on_the_way
        self._begun = begun

    def is_left_for(self, standing: Standing) -> bool:
        """Whether one more message to somebody of this standing may begin."""
        is_full = self._begun.total() >= BEGUN_AT_ONCE or self._on_the_way.total() >= ON_THE_WAY_AT_ONCE
        if is_full or standing is Standing.ANSWERS:
            return not is_full
        unproven = self._on_the_way.total() - self._on_the_way[Standing.ANSWERS]
        unproven_begun = self._begun.total() - self._begun[Standing.ANSWERS]
        if unproven >= UNPROVEN_AT_ONCE or unproven_begun >= UNTRIED_BEGUN_AT_ONCE:
            return False
        return standing is Standing.UNTRIED or self._on_the_way[Standing.HANGS] < HANGING_AT_ONCE

    def take(self, turn: str) -> bool:
        """Take a place for one more message; False where there is none for it."""
        standing = self._places.standing(turn)
        if self._of_turn[turn] >= self._places.places_of(turn) or not self.is_left_for(standing):
            return False
        self._of_turn[turn] += 1
        self._on_the_way[standing] += 1
        self._begun[standing] += 1
        return True
