"""What tests of several packages share, and the page that the large proofs write."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import data_contracts.validation.great_expectations_suite  # noqa: F401 - keeps two seconds of grammars out of jsonschema
import training  # noqa: F401 - sets how threads wait, before any test loads OpenMP
from data_contracts.public.uci_taiwan import fetch
from tests.empty_registry import with_empty_registry
from tests.measured_proofs import SIZE, commit_of, measured_page, proof_of, size_in_words
from tests.proof_size import IS_LONG

# How long an example takes depends on what else the machine does, so it fails no test.
settings.register_profile("bonitas", deadline=None)
settings.load_profile("bonitas")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, files that share something costly go to one worker."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.work_shares import WorkShares

    return WorkShares(config, log)


@pytest.fixture(scope="session")
def uci_taiwan_file(request: pytest.FixtureRequest) -> Path:
    """The published file, fetched once and kept in pytest's cache."""
    return fetch(request.config.cache.mkdir("uci-taiwan"))


@pytest.fixture(scope="session")
def empty_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's database after its migrations, which take seconds."""
    return with_empty_registry(tmp_path_factory.mktemp("empty")) / "mlflow.db"


CHAOS = "tests/serving/chaos/"
"""Below it each test's figures are also told at the end of a run."""
STARTED = pytest.StashKey[float]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note when the tests begin."""
    session.config.stash[STARTED] = time.monotonic()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """How many examples a property takes stands in its report."""
    size = size_in_words(getattr(item, "obj", None))
    if size is not None:
        item.user_properties.append((SIZE, size))


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> Iterator[None]:
    """Write docs/measured.md when all large proofs were run and hold."""
    yield
    proofs = [
        proof_of(report.nodeid, report.duration, report.user_properties)
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
    ]
    for proof in proofs:
        if IS_LONG and proof.file.startswith(CHAOS):
            terminalreporter.write_line(proof.to_row())
    whole = config.option.markexpr == "long_proof" and config.args == config.getini("testpaths")
    if not (IS_LONG and whole) or exitstatus != 0:
        return
    page = config.rootpath / "docs" / "measured.md"
    page.write_text(
        measured_page(
            proofs,
            commit=commit_of(config.rootpath),
            day=datetime.now(UTC).date(),
            cores=os.cpu_count() or 1,
            seconds=time.monotonic() - config.stash[STARTED],
        )
    )
    terminalreporter.write_line(f"what was measured: {page.relative_to(config.rootpath)}")
