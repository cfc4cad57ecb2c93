"""README and docs stay true: commands, options, files, links, settings and numbers are those of the code."""

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import click
import pytest

import bonitas
from serving.checkout.order_body import order_body
from serving.domain import field_errors
from serving.domain.policy_reader import parse_policy
from serving.events import event_answers, sent_rows
from serving.in_force.policy_activation import POLICY_FILE
from serving.process import bounded_http
from serving.process.settings import SETTINGS, Settings, settings_page
from serving.requests import problem_details, request_patience, route_declaration
from serving.webhooks.retry_schedule import WAITS_SECONDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {
    str(file.relative_to(ROOT)): file.read_text()
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
POLICY = parse_policy(POLICY_FILE.read_text())


def each_page(pattern: str) -> list[tuple[str, str]]:
    """Where a pattern is found: the page, and what its group holds."""
    return [
        (page, found) for page, text in PAGES.items() for found in re.findall(pattern, text, re.MULTILINE)
    ]


def assert_is_a_command(page: str, line: str) -> None:
    command: click.Command = bonitas.main
    words = line.split()
    while words and isinstance(command, click.Group) and words[0].split("|")[0] in command.commands:
        *others, last = words.pop(0).split("|")
        assert all(other in command.commands for other in others), f"{page}: bonitas {line}"
        command = command.commands[last]
    assert command is not bonitas.main, f"{page}: bonitas {line}: no such command"
    known = {option for parameter in command.params for option in parameter.opts}
    for option in re.findall(r"--[a-z-]+", line):
        assert option in known, f"{page}: bonitas {line}: no option {option}"


def test_every_command_on_a_page_exists_with_its_options() -> None:
    commands = each_page(r"\bbonitas ([a-z][^\n;`#]*)")
    assert len(commands) > 60
    for page, line in commands:
        assert_is_a_command(page, line)


def test_the_page_of_commands_names_every_command() -> None:
    told = PAGES["docs/commands.md"]
    for name, command in bonitas.main.commands.items():
        assert re.search(rf"\bbonitas {name}\b", told), name
        if isinstance(command, click.Group):
            of_group = " ".join(re.findall(rf"\bbonitas {name} ([^\n;]*)", told))
            for step in command.commands:
                assert re.search(rf"(^|[ |]){step}\b", of_group), f"{name} {step}"


def test_every_make_target_on_a_page_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page, target in each_page(r"(?:^|`)make ([a-z][a-z-]*)"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"


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


def test_the_first_page_is_short_and_leads_to_every_other() -> None:
    assert len(README.splitlines()) <= 180
    for page in PAGES.keys() - {"README.md"}:
        assert f"]({page})" in README or f"]({page}#" in README, page


def test_each_walk_is_a_list_of_files_that_exist() -> None:
    walks = README.partition("## Three walks\n")[2].split("\n**")[1:]
    assert [walk.partition("**")[0] for walk in walks] == [
        "An order, from the endpoint to the log",
        "A ledger row, to a feature",
        "A flagged order, to the stop request",
    ]
    for walk in walks:
        stops = re.findall(r"^\d\. `([^`]*)`", walk, re.MULTILINE)
        assert 5 <= len(stops) <= 9
        assert all((ROOT / stop).is_file() for stop in stops), stops


def test_every_file_of_the_tree_that_a_page_names_exists() -> None:
    named = each_page(r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|toml|md|ipynb)|(?:[a-z_]+/)+)`")
    ours = {folder.name for folder in ROOT.iterdir() if folder.is_dir()}
    named = [(page, path) for page, path in named if path.partition("/")[0] in ours]
    assert len(named) > 50
    for page, path in named:
        assert (ROOT / path).exists(), f"{page} names {path}"


def anchor(heading: str) -> str:
    """What a heading is called in a link, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_link_leads_to_a_file_and_to_a_heading_of_it() -> None:
    links = [(page, link) for page, link in each_page(r"\]\(([^)\s]+)\)") if "://" not in link]
    assert len(links) > 40
    for page, link in links:
        path, _, heading = link.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {link}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert heading in {anchor(one) for one in headings}, f"{page}: {link}"


def test_every_picture_in_docs_is_shown() -> None:
    shown = {(ROOT / page).parent / link for page, link in each_page(r"!\[[^\]]*\]\(([^)]+)\)")}
    assert shown == set((ROOT / "docs").glob("*.png"))


def test_every_figure_that_was_measured_names_a_command_that_exists() -> None:
    rows = re.findall(
        r"^\|.*\| ([^|]*) \|$", PAGES["docs/figures.md"].partition("## The limit")[0], re.MULTILINE
    )
    commands = [row.strip("`") for row in rows if row not in {"command", "---"}]
    assert len(commands) > 8
    for command in commands:
        program, _, rest = command.partition(" ")
        if program == "bonitas":
            assert_is_a_command("docs/figures.md", rest)
        elif program == "make":
            assert re.search(rf"^{rest.split()[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        else:
            module = re.fullmatch(r"python -m ([\w.]+)", command)
            assert module, command
            assert (ROOT / f"{module[1].replace('.', '/')}.py").is_file(), command


def test_the_page_of_settings_is_the_table_that_the_service_reads() -> None:
    assert PAGES["docs/settings.md"] == settings_page(), "run `make docs`"
    assert [setting.field for setting in SETTINGS] == [one.name for one in dataclasses.fields(Settings)]


def test_every_setting_that_a_page_or_the_code_names_is_in_the_table() -> None:
    code = [
        file for folder in ("command_line", "serving", "training") for file in (ROOT / folder).rglob("*.py")
    ]
    named = {name for file in code for name in re.findall(r"\bBONITAS_[A-Z_]+\b", file.read_text())}
    named |= {name for _, name in each_page(r"\b(BONITAS_[A-Z_]+)\b")}
    assert named == {setting.name for setting in SETTINGS}


def test_a_decision_has_a_date_and_the_dates_stand_in_order() -> None:
    days = re.findall(r"^## (.*)$", PAGES["docs/decisions.md"], re.MULTILINE)
    assert days == sorted(days)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in days)


KEYS = POLICY.merchant_keys
GROWTH = POLICY.limit_growth
assert KEYS is not None
assert GROWTH is not None
NUMBERS = [
    ("operators", f"| head of a request | {bounded_http.HEAD_MAXIMUM_BYTES // 1024} KiB, "),
    ("operators", f"{bounded_http.HEADERS_MAXIMUM} headers (431)"),
    ("operators", f"| connections of a process | {bounded_http.CONNECTIONS_MAXIMUM:,}; sixteen requests"),
    ("operators", f"{route_declaration.ORDER_BODY_BYTES // 1024} KiB but for ledger rows"),
    ("operators", f"{route_declaration.EVENTS_BODY_BYTES // 2**20} MiB, {event_answers.ROWS_MAXIMUM:,} rows"),
    ("operators", f"rows, {sent_rows.VALUES_MAXIMUM:,} values"),
    ("principles", f"`materiality_cents` ({POLICY.materiality_cents / 100:.2f})"),
    ("principles", f"`grace_days` ({POLICY.grace_days})"),
    ("principles", f"Each invoice counts {GROWTH.counts_after_days} days after it was paid"),
    ("principles", f"({POLICY.order_risk.linked_customers_maximum}) have named link nobody"),
    (
        "checkout",
        "(" + ", ".join(f"{cents // 100:,}" for cents in KEYS.amount_steps_cents[:8]) + " ...)",
    ),
    ("checkout", f"{KEYS.questions_per_hour:,} in an hour about all"),
    ("checkout", f"at most {KEYS.unconfirmed_share_percent} % of a"),
    ("checkout", f"Each holds for {KEYS.unconfirmed_minutes} minutes"),
    ("fraud_team", f"The {POLICY.stop_requests.answer_hours} hours to answer"),
    ("fraud_team", f"For {POLICY.stop_requests.contact_change_hours} hours after it"),
    ("fraud_team", f"unpaid for the policy's {POLICY.investigation.unpaid_days} days"),
]


@pytest.mark.parametrize(("page", "told"), NUMBERS)
def test_a_number_on_a_page_is_the_codes(page: str, told: str) -> None:
    assert told in PAGES[f"docs/{page}.md"]


def test_numbers_in_words_are_the_codes() -> None:
    assert problem_details.ERRORS_MAXIMUM == 50
    assert field_errors.NAME_CHARACTERS_MAXIMUM == 100
    assert bounded_http.PIPELINED_MAXIMUM == 16
    assert bounded_http.UNREAD_SECONDS == 30
    assert request_patience.LOCK_WAIT_S == 2
    assert request_patience.SERVER_TIMEOUT_S == 5
    assert request_patience.WORK_S == 1.5  # so no work begins later than three and a half seconds
    assert len(WAITS_SECONDS) == 10
    assert sum(WAITS_SECONDS) // 86_400 == 3
    assert POLICY.review.undo_seconds == 30


def test_the_first_order_of_ones_own_is_made_as_the_readme_says(tmp_path: Path) -> None:
    """What `make run` leaves as `order.json` goes through the README's own commands, but for the sending."""
    block = README.partition("## A first order of your own")[2].split("```")[1]
    making, sent, _ = block.partition("curl ")
    assert sent
    address = {"name": "Lena Sommer", "street": "Lindenallee", "house_number": "12", "country": "DE"}
    address |= {"postal_code": "10115", "city": "Berlin"}
    sample = {
        "order_id": "sample-20261128-1",
        "customer_id": "c-1",
        "merchant_id": "m-1",
        "amount_cents": 8990,
        "vat_cents": 1435,
        "currency": "EUR",
        "kind": "goods",
        "item_category": "clothing",
        "delivery": address,
        "billing": address,
        "contact": {"email": "lena@mail.example", "phone": "+49 30 5550142"},
    }
    (tmp_path / ".bonitas").mkdir()
    (tmp_path / ".bonitas" / "order.json").write_text(json.dumps(sample, indent=1))
    subprocess.run(["/bin/sh", "-ec", making.replace("KEY=...", "")], cwd=tmp_path, check=True)
    own = order_body(json.loads((tmp_path / "order.json").read_text()), now_ms=1_800_000_000_000).row
    assert (own["order_id"], own["amount_cents"]) == ("mine-1", 4500)
    assert own["vat_cents"] < own["amount_cents"]


def test_the_lock_holds_hashes_and_no_index_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in lock
    pinned = re.findall(r"^[a-z0-9._\[\],-]+==", lock, re.MULTILINE)
    assert len(pinned) > 100
    assert lock.count("--hash=sha256:") >= len(pinned)
