"""The page of the large proofs says what was run, how large, and on which commit."""

import subprocess
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.measured_proofs import SIZE, commit_of, measured_page, proof_of, size_in_words
from tests.proof_size import examples, whole_or_fiftieth


def test_a_proof_is_a_sentence_with_its_case_its_size_and_its_figures() -> None:
    proof = proof_of(
        "tests/serving/test_x.py::test_no_message_is_lost[postgresql]",
        61.4,
        [(SIZE, "60 kills"), ("messages", 240)],
    )
    assert proof.to_row() == "| no message is lost (postgresql) | 60 kills; messages: 240 | 61 |"
    assert proof.file == "tests/serving/test_x.py"


def test_a_property_tells_how_many_examples_it_takes_and_another_test_tells_nothing() -> None:
    @examples(10_000)
    @given(st.integers())
    def holds(number: int) -> None:
        assert number is not None

    assert size_in_words(holds) == f"{whole_or_fiftieth(10_000):,} examples"
    assert size_in_words(print) is None


def test_the_page_lists_the_proofs_of_each_file_under_the_commit() -> None:
    proofs = [proof_of(f"tests/{file}.py::test_{name}", 2.0, []) for file, name in ("bb", "ba", "ab")]
    page = measured_page(proofs, commit="abc", day=date(2026, 11, 28), cores=2, seconds=120)
    assert "Commit abc, 2026-11-28, Python 3." in page
    assert "2 cores: 3 proofs in 2 minutes." in page
    assert page.index("## tests/a.py") < page.index("| b |  | 2 |") < page.index("## tests/b.py")


def test_the_commit_says_when_files_differ_from_it(tmp_path: Path) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *author, *arguments],  # noqa: S607 the Git that asks, too
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    assert commit_of(tmp_path) == "unknown"
    git("init", "-q")
    page = tmp_path / "docs" / "measured.md"
    page.parent.mkdir()
    page.write_text("old")
    (tmp_path / "code.py").write_text("old")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "--short=10", "HEAD")
    page.write_text("new")
    assert commit_of(tmp_path) == commit
    (tmp_path / "code.py").write_text("new")
    assert commit_of(tmp_path) == f"{commit} + changes"
