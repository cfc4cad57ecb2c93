"""`bonitas clock`: the time in a sandbox, moved forward so that deadlines are seen passing; and its mark."""

import re
from typing import Any

import click

from command_line.state import opened_store
from command_line.terminal import CommandFailed, json_option, print_result
from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, rfc3339

_UNITS_MS = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": SECOND_MS}
_PART = re.compile(r"([0-9]{1,9})([dhms])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def mark_sandbox() -> None:
    """Make the store a sandbox; one that holds rows ends the command."""
    from serving.store.errors import StoreError
    from serving.store.sandbox_clock import mark_as_sandbox

    with opened_store() as store:
        try:
            mark_as_sandbox(store)
        except StoreError as problem:
            raise CommandFailed(str(problem)) from problem


class _Duration(click.ParamType[int]):
    """Days, hours, minutes and seconds, in milliseconds: 21d, 5h, 1d12h."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds.

        >>> _Duration().convert("1d12h", None, None) == 36 * HOUR_MS
        True
        """
        if isinstance(value, int):
            return value
        if not _DURATION.fullmatch(value):
            self.fail(f"{value} is no duration such as 21d, 5h, 90m or 1d12h", param, ctx)
        return sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(value))


@click.group()
def clock() -> None:
    """Show the store's clock, and move a sandbox's forward.

    A store is a sandbox where `bonitas migrate --sandbox` made it one while it was new. Services, workers and
    commands go by its clock; in any other store by the machine's.
    """


@clock.command("show")
@json_option
def show_clock(as_json: bool) -> None:
    """Show the time in the store, and how far a sandbox is ahead of the machine's clock."""
    from serving.store.errors import StoreError
    from serving.store.sandbox_clock import sandbox_of
    from serving.store.store import now_ms

    with opened_store() as store:
        try:
            sandbox = sandbox_of(store)
        except StoreError as problem:
            raise CommandFailed(str(problem)) from problem
    if sandbox is None:
        figures = {"is_sandbox": False, "now": rfc3339(now_ms()), "ahead_seconds": 0}
        text = f"{figures['now']}, the machine's clock: the store is no sandbox"
    else:
        ahead_seconds = sandbox.ahead_ms() // SECOND_MS
        figures = {"is_sandbox": True, "now": rfc3339(sandbox.now_ms()), "ahead_seconds": ahead_seconds}
        text = f"{figures['now']} in the sandbox, {in_units(ahead_seconds)} ahead of the machine's clock"
    print_result(figures, as_json, lambda: click.echo(text))


@clock.command("advance")
@click.argument("by_ms", type=_Duration(), metavar="DURATION")
@json_option
def advance_clock(by_ms: int, as_json: bool) -> None:
    """Move a sandbox's clock forward by DURATION (21d, 5h, 90m, 1d12h); all processes go by it at once.

    A clock is never moved back: what was stamped stays in the past. Refused in a store that is no sandbox.
    """
    from serving.store.errors import StoreError
    from serving.store.sandbox_clock import advance, clock_of, wait_until_effective

    with opened_store() as store:
        try:
            step = advance(store, by_ms)
            wait_until_effective(step)
            now = rfc3339(clock_of(store)())
        except StoreError as problem:
            raise CommandFailed(str(problem)) from problem
    ahead_seconds = step.ahead_ms // SECOND_MS
    print_result(
        {"is_sandbox": True, "now": now, "ahead_seconds": ahead_seconds},
        as_json,
        lambda: click.echo(f"{now} in the sandbox, {in_units(ahead_seconds)} ahead of the machine's clock"),
    )


def in_units(seconds: int) -> str:
    """A span in days, hours, minutes and seconds, without those that are 0.

    >>> in_units(0), in_units(90_061), in_units(21 * 86_400)
    ('0s', '1d1h1m1s', '21d')
    """
    left, parts = seconds * SECOND_MS, []
    for unit, unit_ms in _UNITS_MS.items():
        count, left = divmod(left, unit_ms)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"
