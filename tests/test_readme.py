"""The README stays true: its commands exist, its folders exist, its figures name their command."""

import re
from pathlib import Path

import bonitas

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_command_in_the_readme_exists_with_its_options() -> None:
    commands = re.findall(r"\bbonitas ([a-z][^\n;`|#]*)", README)
    assert len(commands) > 10
    for line in commands:
        command: object = bonitas.main
        words = line.split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]  # a click group
        assert command is not bonitas.main, f"bonitas {line}: no such command"
        known = {option for parameter in command.params for option in parameter.opts}  # type: ignore[attr-defined]  # a click command
        for option in re.findall(r"--[a-z-]+", line):
            assert option in known, f"bonitas {line}: no option {option}"


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readmes_table_of_folders_is_the_tree_of_the_code() -> None:
    told = re.findall(r"^\| `([a-z_][a-z_/]*)/`", README, re.MULTILINE)
    packages = {"data_contracts", "evidence", "features", "training", "serving", "command_line"}
    holds_code = {
        file.parent.relative_to(ROOT)
        for package in packages
        for file in (ROOT / package).rglob("*.py")
        if "migrations" not in file.parts
    }
    assert sorted(told) == sorted({str(folder) for folder in holds_code} | {"notebooks", "tests"})


def test_the_lock_holds_hashes_and_no_index_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in lock
    pinned = re.findall(r"^[a-z0-9._\[\],-]+==", lock, re.MULTILINE)
    assert len(pinned) > 100
    assert lock.count("--hash=sha256:") >= len(pinned)
