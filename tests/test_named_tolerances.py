"""Rows are judged under the policy's tolerance between clocks, so every call says which."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("data_contracts", "features", "training", "serving", "command_line")
PARAMETER = "clock_tolerance_ms"


def _modules() -> dict[Path, ast.Module]:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return {file.relative_to(ROOT): ast.parse(file.read_text()) for file in files}


def _with_default(module: ast.Module) -> set[str]:
    """The functions that a caller may leave without a tolerance."""
    return {
        node.name
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef)
        for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if argument.arg == PARAMETER and default is not None
    }


def test_no_row_is_judged_under_a_tolerance_that_its_caller_did_not_name() -> None:
    modules = _modules()
    lenient = set().union(*(_with_default(module) for module in modules.values()))
    assert "append" in lenient
    # A method of that name is a list's; ours are called by their bare name.
    silent = [
        f"{file}:{call.lineno}"
        for file, module in modules.items()
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in lenient
        if PARAMETER not in {keyword.arg for keyword in call.keywords}
    ]
    assert silent == []
