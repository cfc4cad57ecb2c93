"""Policies that differ from the one that comes with the code in a few lines, each with its own version."""

from pathlib import Path

from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE, PolicyFile


def a_policy_text(version: str, **numbers: int | str) -> str:
    """The shipped policy under another version. numbers: fields that get another value, as TOML has it."""
    lines = POLICY_FILE.read_text(encoding="utf-8").splitlines()
    for name, value in {"version": f'"{version}"', **numbers}.items():
        at = next(place for place, line in enumerate(lines) if line.startswith(f"{name} = "))
        lines[at] = f"{name} = {value}"
    return "\n".join(lines) + "\n"


def a_policy_text_without(table: str, version: str) -> str:
    """The shipped policy without one of its tables, as before it had that one."""
    lines, keep = [], True
    for line in a_policy_text(version).splitlines(keepends=True):
        if line.startswith("["):
            keep = line.strip() != f"[{table}]" and not line.startswith(f"[[{table}.")
        if keep:
            lines.append(line)
    return "".join(lines)


def a_policy_file(version: str, *, is_own: bool = True, **numbers: int | str) -> PolicyFile:
    text = a_policy_text(version, **numbers)
    return PolicyFile(
        path=Path(f"/policies/{version}.toml"), text=text, policy=parse_policy(text), is_own=is_own
    )


def a_policy_of_newer_code(version: str) -> PolicyFile:
    """A policy with a field that this code does not know."""
    file = a_policy_file(version)
    text = f"waiting_days = 3\n{file.text}"
    return PolicyFile(path=file.path, text=text, policy=file.policy, is_own=True)
