"""What the large proofs did, for docs/measured.md: how many examples each took, and how long."""

import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

SIZE = "proof_size"
"""The property of a test's report that says in words how large it was."""

HEADER = """# Measured

Written by `make test-long`, which runs the large proofs whole and with fixed seeds. `make test` runs a
fiftieth of each. What is measured by hand is in [figures.md](figures.md).

Commit {commit}, {day}, Python {python}, {cores} cores: {count} proofs in {minutes:.0f} minutes.
"""


@dataclass(frozen=True, kw_only=True)
class MeasuredProof:
    """One proof that passed.

    file: of the test, relative to the tree. sentence: what was proven. size: how often it was tried, in
    words, empty where it has one size. figures: what it counted, by name. seconds: of the test itself.
    """

    file: str
    sentence: str
    size: str
    figures: Sequence[tuple[str, str]]
    seconds: float

    def to_row(self) -> str:
        """Its line in the table."""
        told = "; ".join([self.size, *(f"{name}: {value}" for name, value in self.figures)]).strip("; ")
        return f"| {self.sentence} | {told} | {self.seconds:.0f} |"


def size_in_words(test: Any) -> str | None:
    """How many examples a property is tried with; None for a test that is no property."""
    settings = getattr(test, "_hypothesis_internal_use_settings", None)
    return None if settings is None else f"{settings.max_examples:,} examples"


def proof_of(node_id: str, seconds: float, properties: Iterable[tuple[str, object]]) -> MeasuredProof:
    """The proof that a report of pytest tells of."""
    file, _, name = node_id.partition("::")
    told = {key: str(value) for key, value in properties}
    words, bracket, case = name.partition("[")
    sentence = words.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return MeasuredProof(
        file=file,
        sentence=sentence + (f" ({case.removesuffix(']')})" if bracket else ""),
        size=told.pop(SIZE, ""),
        figures=sorted(told.items()),
        seconds=seconds,
    )


def measured_page(
    proofs: Iterable[MeasuredProof], *, commit: str, day: date, cores: int, seconds: float
) -> str:
    """docs/measured.md.

    seconds: of the whole run. commit: of the tree that was measured.
    """
    in_order = sorted(proofs, key=lambda proof: (proof.file, proof.sentence))
    parts = [
        HEADER.format(
            commit=commit,
            day=day.isoformat(),
            python=platform.python_version(),
            cores=cores,
            count=len(in_order),
            minutes=seconds / 60,
        )
    ]
    for file, of_file in groupby(in_order, key=lambda proof: proof.file):
        rows = "\n".join(proof.to_row() for proof in of_file)
        parts.append(f"## {file}\n\n| Proof | Size | Seconds |\n|---|---|---:|\n{rows}\n")
    return "\n".join(parts)


def commit_of(tree: Path) -> str:
    """The commit that is checked out, "+ changes" where files differ from it; "unknown" without Git."""

    def asked(*question: str) -> str:
        return subprocess.run(
            ["git", "-C", str(tree), *question],  # noqa: S607 the Git that made the tree
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        commit = asked("rev-parse", "--short=10", "HEAD")
        changed = asked("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    others = [line for line in changed.splitlines() if not re.search(r" docs/measured\.md$", line)]
    return f"{commit} + changes" if others else commit
