"""The notebooks run from top to bottom in a fresh kernel, and their committed outputs say the same."""

import ast
import re
import shutil
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import bonitas

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAXIMUM_BYTES = 400_000
SECONDS_PER_CELL = 300
PACKAGES = {"data_contracts", "features", "training", "serving"}

FIT_MODELS = {"03", "04", "05"}
"""Their figures are of fitted models, whose last digits depend on the processor, and their order on those."""

by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def stored(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def plots(notebook: Any) -> list[Any]:
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


def troubles(notebook: Any) -> list[Any]:
    return [
        output
        for output in outputs(notebook)
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def texts(notebook: Any) -> list[str]:
    """Every output as text, in order; a plot only by its kind, since fonts and libraries draw it."""
    return [
        output.get("text")
        or output.get("data", {}).get("text/html")
        or output.get("data", {}).get("text/plain", output.output_type)
        for output in outputs(notebook)
    ]


def form(text: str) -> str:
    """How an output begins, without its numbers and its spaces."""
    return re.sub(r"[-+\d.,]+|\s+", " ", text.strip().partition("\n")[0]).strip()


def source(notebook: Any) -> ast.Module:
    lines = "\n".join(cell.source for cell in code_cells(notebook)).splitlines()
    return ast.parse("\n".join(line for line in lines if not line.startswith("%")))


@dataclass(frozen=True)
class Run:
    """A notebook before and after it was executed, and what it left in the folder for temporary files."""

    path: Path
    committed: Any
    executed: Any
    left_behind: tuple[str, ...]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    scratch = tmp_path_factory.mktemp("notebook")
    copy = Path(shutil.copy(request.param, scratch))
    # Sockets of the kernel and its profile lie in a short path of our own: nobody's settings take part.
    with tempfile.TemporaryDirectory() as own, pytest.MonkeyPatch.context() as patch:
        temporary = Path(own) / "tmp"
        temporary.mkdir()
        patch.setenv("TMPDIR", str(temporary))
        patch.setenv("PYTHONPATH", str(ROOT))
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            patch.setenv(name, f"{own}/{name.lower()}")
        notebook = stored(copy)
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",
            resources={"metadata": {"path": str(scratch)}},
            record_timing=False,
        )
        client.execute()
        left_behind = tuple(sorted(path.name for path in temporary.glob("bonitas-*")))
    beside_it = sorted(path.name for path in scratch.iterdir() if path != copy)
    return Run(request.param, stored(request.param), notebook, (*left_behind, *beside_it))


@pytest.mark.slow
def test_a_notebook_runs_without_an_error_and_without_a_warning(run: Run) -> None:
    assert troubles(run.executed) == []
    assert plots(run.executed)


@pytest.mark.slow
def test_what_is_committed_is_what_a_run_gives(run: Run) -> None:
    committed, executed = texts(run.committed), texts(run.executed)
    if run.path.name[:2] in FIT_MODELS:
        committed, executed = list(map(form, committed)), list(map(form, executed))
    assert committed == executed, "run `make notebooks` and commit what it gives"
    assert len(plots(run.committed)) == len(plots(run.executed))


@pytest.mark.slow
def test_a_notebook_leaves_nothing_behind(run: Run) -> None:
    assert run.left_behind == ()


def test_the_notebooks_are_numbered_without_a_gap_and_lead_to_one_another() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02}_" for number in range(1, 6)]
    for path, following in pairwise(NOTEBOOKS):
        assert any(f"({following.name})" in cell.source for cell in stored(path).cells[-2:])


@by_notebook
def test_a_notebook_is_committed_with_outputs_and_without_troubles(path: Path) -> None:
    notebook = stored(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < MAXIMUM_BYTES
    assert [cell.execution_count for cell in code_cells(notebook)] == [
        number for number, _ in enumerate(code_cells(notebook), start=1)
    ]
    assert plots(notebook)
    assert troubles(notebook) == []
    assert notebook.metadata.kernelspec.name == "python3"


@by_notebook
def test_no_output_tells_of_the_machine(path: Path) -> None:
    notebook = stored(path)
    plain = [output.get("data", {}).get("text/plain", "") for output in outputs(notebook)]
    shown = "\n".join([*texts(notebook), *plain])
    for folder in (str(ROOT), str(Path.home()), tempfile.gettempdir(), "/home/", "/Users/", "site-packages"):
        assert folder.rstrip("/") + "/" not in shown, folder
    assert not re.search(r" at 0x[0-9a-f]+", shown)


@by_notebook
def test_a_notebook_defines_nothing_that_others_could_need(path: Path) -> None:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tree = source(stored(path))
    assert [node.name for node in ast.walk(tree) if isinstance(node, definitions)] == []
    modules = {
        node.module.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert modules & PACKAGES
    assert not modules & {"tests", "bonitas", "command_line", "notebooks"}


def test_nothing_imports_a_notebook() -> None:
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            assert "notebooks" not in file.read_text(), file


@by_notebook
def test_every_command_that_a_notebook_names_exists_with_its_options(path: Path) -> None:
    text = "\n".join(cell.source for cell in stored(path).cells if cell.cell_type == "markdown")
    lines = re.findall(r"^bonitas ([^\n#]*)", text, re.MULTILINE)
    assert lines
    for line in lines:
        command: Any = bonitas.main
        words = line.split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not getattr(command, "commands", {}), f"bonitas {line}: no such command"
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= known, f"bonitas {line}"
