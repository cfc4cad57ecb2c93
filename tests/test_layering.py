"""The folder tree is the architecture: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "data_contracts": {"data_contracts"},
    "features": {"data_contracts", "features"},
    "training": {"data_contracts", "features", "training"},
    "serving": {"data_contracts", "features", "serving"},
    "command_line": {"command_line", "data_contracts", "features", "serving", "training"},
}
NOT_IN_DOMAIN = {
    "alembic",
    "bentoml",
    "httpx",
    "lightgbm",
    "mlflow",
    "psycopg",
    "sqlalchemy",
    "sqlite3",
    "starlette",
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base", "core"}


def imported_packages(file: Path) -> set[str]:
    packages = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            packages.add((node.module or "").split(".")[0])
    return packages


def modules_of(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_stands_below_them(package: str) -> None:
    modules = modules_of(package)
    assert modules
    for file in modules:
        wrong = imported_packages(file) & (set(MAY_IMPORT) | {"bonitas", "tests"}) - MAY_IMPORT[package]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_the_domain_imports_neither_web_nor_sql_nor_ml_platform() -> None:
    modules = modules_of("serving/domain")
    assert modules
    for file in modules:
        wrong = imported_packages(file) & NOT_IN_DOMAIN
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_no_file_is_named_after_a_role_instead_of_a_concept() -> None:
    for package in MAY_IMPORT:
        for file in modules_of(package):
            assert file.stem not in FORBIDDEN_NAMES, file
