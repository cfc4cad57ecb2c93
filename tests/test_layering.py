"""The folder tree is the architecture: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "evidence": {"evidence"},
    "data_contracts": {"data_contracts", "evidence"},
    "features": {"data_contracts", "features"},
    "training": {"data_contracts", "evidence", "features", "training"},
    "serving": {"data_contracts", "evidence", "features", "serving"},
    "command_line": {"command_line", "data_contracts", "evidence", "features", "serving", "training"},
}
# From the ground up: a folder imports folders of lower floors only, and none of its own floor.
FLOORS: dict[str, tuple[set[str], ...]] = {
    "data_contracts": ({"between_rows", "simulation", "public"}, {"validation"}),
    "training": (
        {"candidates"},
        {"gates"},
        {"validation"},
        {"registry"},
        {"flat_tables", "promotion", "monitoring"},
    ),
    "serving": (
        {"domain", "process"},
        {"store"},
        {"in_force", "webhooks"},
        {"requests", "screening"},
        {"stop_requests", "checkout", "events", "figures", "backup", "settlement"},
        {"cases", "shadow", "policy_backtest", "invoices", "returns", "topics"},
        {"disputes"},
        {"api", "merchant_form"},
        {"console"},
        {"benchmarks", "first_look"},
    ),
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


def imported_modules(file: Path) -> set[str]:
    """What a file imports, each name with its module: `serving.store.store.Store`."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


@pytest.mark.parametrize("package", FLOORS)
def test_a_folder_imports_only_folders_of_lower_floors(package: str) -> None:
    floor_of = {folder: floor for floor, folders in enumerate(FLOORS[package]) for folder in folders}
    folders = {file.relative_to(ROOT / package).parts[0] for file in (ROOT / package).glob("*/*.py")}
    assert folders == set(floor_of), "each folder stands on a floor"
    for file in modules_of(package):
        own = file.relative_to(ROOT / package).parts[0]
        if own not in floor_of:
            continue  # beside the folders: a word that all use, or what puts them together
        for module in imported_modules(file):
            parts = module.split(".")
            if parts[0] == package and len(parts) > 1 and parts[1] in floor_of and parts[1] != own:
                assert floor_of[parts[1]] < floor_of[own], f"{file.relative_to(ROOT)} imports {module}"


def test_no_two_files_import_each_other_in_a_circle() -> None:
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file
        for package in MAY_IMPORT
        for file in modules_of(package)
        if file.name != "__init__.py"
    }
    imports = {
        name: {
            target
            for module in imported_modules(file)
            for target in (module, module.rpartition(".")[0])
            if target in modules and target != name
        }
        for name, file in modules.items()
    }
    # What imports nothing that is left can be taken away; a circle never can.
    while free := {name for name, targets in imports.items() if not targets}:
        imports = {name: targets - free for name, targets in imports.items() if name not in free}
    assert not imports, sorted(imports)
