"""What lies beside the rows of a ledger folder is named, and neither read nor left out without a word."""

import json
import os
import re
import shutil
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import bonitas
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.ledger_folder import RowsLeftOut, refuse_left_out_rows, what_is_not_read
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.parquet_ledger import UnreadableLedgerFile, part_files, read_parquet_file, read_table
from data_contracts.validation import quarantine
from data_contracts.validation.accepted_folder import (
    contracts_fingerprint,
    read_accepted_file,
    what_changed,
    write_accepted_file,
)
from serving.in_force.policy_activation import POLICY_FILE

INQUIRIES = CONTRACTS["credit_inquiries"]


@pytest.fixture
def book(write_rows, a_row):
    names = ("customers", "credit_inquiries")
    return write_rows({name: [a_row(name)] for name in names})


def copied(file: Path, name: str) -> None:
    target = file.parent / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def paths(directory: Path) -> list[str]:
    return [one.path for one in what_is_not_read(directory)]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("part-00000.parquet.bak", "credit_inquiries/part-00000.parquet.bak"),
        ("part-00000.parquet~", "credit_inquiries/part-00000.parquet~"),
        ("old/part-00000.parquet", "credit_inquiries/old/"),
        ("rows.csv", "credit_inquiries/rows.csv"),
        (".part-00001.parquet", "credit_inquiries/.part-00001.parquet"),
        ("inquiries.parquet", "credit_inquiries/inquiries.parquet"),
        ("../inquiries/part-00000.parquet", "inquiries/"),
        ("../Credit_Inquiries/part-00000.parquet", "Credit_Inquiries/"),
        ("../credit_inquiries.csv", "credit_inquiries.csv"),
        ("../quarantine/credit_inquiries.jsonl", "quarantine/"),
        ("../notes.txt", "notes.txt"),
    ],
)
def test_what_lies_beside_the_rows_is_named_and_not_read(book, rows_file, name, path):
    copied(rows_file(book, "credit_inquiries"), name)
    assert paths(book) == [path]
    refuse_left_out_rows(book, what_is_not_read(book))
    assert read_table(book, INQUIRIES).num_rows == 1


@pytest.mark.parametrize(
    "name",
    [
        "PART-00000.PARQUET",
        "part-00000.parq",
        "part-00000.pq",
        "rows.csv",
        "rows.csv.gz",
        "rows.jsonl",
        "2026/part-00000.parquet",
        "inquiries.parquet",
        "../inquiries/part-00000.parquet",
        "../CREDIT_INQUIRIES/part-00000.parquet",
        "../credit-inquiry/rows.CSV",
        "../credit_inqiries/part-00000.parquet",
        "../credit_inquiries.parquet",
    ],
)
def test_rows_under_another_name_are_no_zero_rows(book, rows_file, name):
    file = rows_file(book, "credit_inquiries")
    copied(file, name)
    file.unlink()
    with pytest.raises(RowsLeftOut, match="would be left out, so nothing was done"):
        refuse_left_out_rows(book, what_is_not_read(book))


@pytest.mark.parametrize("name", ["../exports/part-00000.parquet", "part-00000.parquet.bak", "readme.md"])
def test_what_nobody_would_take_for_missing_rows_stops_nothing(book, rows_file, name):
    file = rows_file(book, "credit_inquiries")
    copied(file, name)
    file.unlink()
    refuse_left_out_rows(book, what_is_not_read(book))


def test_a_contracts_own_folder_is_not_the_ledger_folder(book):
    with pytest.raises(RowsLeftOut, match="DIR is the folder above"):
        refuse_left_out_rows(book / "customers", what_is_not_read(book / "customers"))


def test_a_folder_with_the_name_of_a_part_is_no_part(book, rows_file):
    (rows_file(book, "credit_inquiries").parent / "part-1.parquet").mkdir()
    assert len(part_files(book, INQUIRIES)) == 1
    assert paths(book) == ["credit_inquiries/part-1.parquet/"]


def truncated(file):
    file.write_bytes(file.read_bytes()[:100])


def damaged(file):
    content = bytearray(file.read_bytes())
    content[4:300] = bytes(296)
    file.write_bytes(bytes(content))


def without_column(file):
    pq.write_table(pq.read_table(file).drop_columns(["bureau"]), file)


def of_another_type(file):
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("bureau"), "bureau", pa.array([7])), file)


def no_text(file):
    table = pq.read_table(file)
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"b\xff"]).buffers())
    pq.write_table(table.set_column(table.column_names.index("bureau"), "bureau", broken), file)


@pytest.mark.parametrize("spoil", [truncated, damaged, without_column, of_another_type, no_text])
def test_a_broken_file_is_named_with_its_reason(book, rows_file, spoil):
    file = rows_file(book, "credit_inquiries")
    spoil(file)
    with pytest.raises(UnreadableLedgerFile, match=r"credit_inquiries.part-00000\.parquet cannot be read"):
        read_table(book, INQUIRIES)


def run(home, *arguments):
    return CliRunner().invoke(bonitas.main, [str(one) for one in arguments], env={"BONITAS_HOME": str(home)})


def test_a_load_says_in_a_line_which_file_is_broken_and_what_it_does_not_read(book, rows_file, tmp_path):
    file = rows_file(book, "credit_inquiries")
    copied(file, "part-00000.parquet.bak")
    truncated(file)
    done = run(tmp_path / "home", "data", "load", book)
    assert done.exit_code == 1
    assert "not read: credit_inquiries/part-00000.parquet.bak: only files named part-*.parquet" in done.stderr
    assert "nobody judged" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert str(file) in line
    assert isinstance(done.exception, SystemExit)
    assert not (tmp_path / "home").exists(), "nothing was written"


def test_a_load_judges_rows_that_validation_did_not_accept_and_keeps_those_that_it_refuses(
    write_rows, a_row, rows_file, tmp_path
):
    huge = a_row("customers", event_id="e-2", customer_id="c-2", family_name="x" * 20_000_000)
    odd = a_row("customers", event_id="e-3", customer_id="c-3")
    good = a_row("customers")
    book = write_rows({"customers": [good, huge, odd], "credit_inquiries": [a_row("credit_inquiries")]})
    file = rows_file(book, "customers")
    table = pq.read_table(file)
    points = [7 if event_id == "e-3" else None for event_id in table["event_id"].to_pylist()]
    pq.write_table(table.append_column("loyalty_points", pa.array(points)), file)
    home = tmp_path / "home"
    done = run(home, "data", "load", book)
    assert done.exit_code == 1, done.output
    said = " ".join(done.stdout.split())
    assert f"Every row of {book} was judged by its contract." in said
    assert "customers.family_name too_long: 1 row; family_name must have at most 200 characters;" in said
    assert "for example e-2, •••" in said
    assert "customers.loyalty_points unknown_column: 1 row; customers has no such column" in said
    (folder,) = (home / "loading").iterdir()
    assert f"Refused rows, whole and with their reasons: {folder / 'quarantine'}" in said
    kept = {one["row"]["event_id"]: one for one in quarantine.read(folder, "customers")}
    assert kept["e-2"]["row"]["family_name"] == huge["family_name"]
    assert kept["e-3"]["row"]["loyalty_points"] == 7
    again = json.loads(run(home, "data", "load", book, "--json").stdout)
    assert (again["validated_at"], again["repeated"]) == (None, {"customers": 1, "credit_inquiries": 1})
    assert sorted(one["event_id"] for one in again["refused"]) == ["e-2", "e-3"]
    assert again["broken_rules"]["customers"][0]["rows"] == 1
    assert len(quarantine.read(folder, "customers")) == 2


def test_a_load_does_not_judge_again_what_validation_accepted_and_judges_what_was_changed_since(
    book, rows_file, tmp_path
):
    home, accepted = tmp_path / "home", tmp_path / "accepted"
    assert run(home, "data", "validate", book, "--out", accepted).exit_code == 0
    marked = read_accepted_file(accepted)
    assert marked is not None
    said = " ".join(run(home, "data", "load", accepted).stdout.split())
    assert f"is what bonitas data validate accepted at {marked.validated_at}" in said
    mark = accepted / "accepted.json"
    marks = mark.read_text()
    mark.write_text(marks.replace(contracts_fingerprint(), "of an earlier release"))
    by_others = json.loads(run(home, "data", "load", accepted, "--json").stdout)
    assert (by_others["validated_at"], by_others["changed_since_validation"]) == (
        None,
        ["contracts were changed"],
    )
    mark.write_text(marks)
    file = rows_file(accepted, "credit_inquiries")
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("bureau"), "bureau", pa.array([""])), file)
    changed = run(home, "data", "load", accepted)
    assert changed.exit_code == 1
    said = " ".join(changed.stdout.split())
    assert "because credit_inquiries/part-00000.parquet was changed since it was validated" in said
    assert "credit_inquiries.bureau empty: 1 row" in said


@pytest.mark.parametrize(
    "command",
    [
        ("data", "validate"),
        ("data", "load"),
        ("features", "build", "--for", "invoice-eligibility", "--out", "f.parquet"),
        ("train", "invoice-eligibility"),
        ("monitor", "--out", "monitor"),
        ("policy", "propose"),
        ("compare", "order-risk"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_refuses_rows_that_would_be_left_out(book, rows_file, tmp_path, command):
    (book / "customers").rename(book / "Customers")
    done = run(tmp_path / "home", *command, book)
    assert done.exit_code == 1
    assert "Customers/: no contract has this name; is it customers?" in done.stderr
    assert not (tmp_path / "home").exists()


def test_an_accepted_folder_is_known_again_and_a_changed_one_is_named(book, rows_file, tmp_path):
    write_accepted_file(
        book,
        stands_at=book,
        validated_at="2026-01-01T00:00:00+00:00",
        report=tmp_path / "report",
        refused=0,
        clock_tolerance_ms=300_000,
    )
    accepted = read_accepted_file(book)
    assert accepted is not None
    assert accepted.report == tmp_path / "report"
    assert what_changed(book, accepted) == ()
    moved = book.rename(tmp_path / "elsewhere")
    assert what_changed(moved, accepted) == ()
    copied(rows_file(moved, "customers"), "part-00001.parquet")
    inquiries = moved / "credit_inquiries" / "part-00000.parquet"
    pq.write_table(pq.read_table(inquiries), inquiries, compression="gzip")
    (moved / "labels.parquet").write_bytes(b"")
    changes = what_changed(moved, accepted)
    assert changes == (
        "credit_inquiries/part-00000.parquet was changed",
        "customers/part-00001.parquet was added",
        "labels.parquet was added",
    )
    done = run(tmp_path / "home", "features", "build", moved, "--for", "order-risk", "--out", "f.parquet")
    assert f"{moved} is not what bonitas data validate accepted at 2026-01-01" in done.stderr


@pytest.mark.parametrize("command", ["validate", "load"])
def test_a_name_that_is_no_text_is_said_with_its_bytes_and_steers_no_terminal(book, tmp_path, command):
    for name in (b"notes\xff.txt", b"credit_inquiries/\x1b[31mold\xfe.bak"):
        Path(os.fsdecode(os.fsencode(book) + b"/" + name)).write_text("x")
    done = run(tmp_path / "home", "data", command, book)
    assert done.exit_code == 0, done.stderr
    assert r"not read: notes\udcff.txt: is no ledger file" in done.stderr
    assert r"not read: credit_inquiries/\x1b[31mold\udcfe.bak" in done.stderr
    part = next((book / "credit_inquiries").glob("part-*"))
    shutil.copyfile(part, os.fsdecode(os.fsencode(part.parent) + b"/part-\xff.parquet"))
    done = run(tmp_path / "home", "data", command, book)
    assert (done.exit_code, r"part-\udcff.parquet cannot be read: its name is not UTF-8" in done.stderr) == (
        1,
        True,
    )


def test_files_are_judged_under_the_policys_tolerance_between_clocks(write_rows, a_row, tmp_path):
    home, accepted = tmp_path / "home", tmp_path / "accepted"
    inquiry = a_row("credit_inquiries")
    ahead = {**inquiry, "occurred_at": inquiry["recorded_at"] + 600_000}
    book = write_rows({"customers": [a_row("customers")], "credit_inquiries": [ahead]})

    def outcome(*command):
        done = run(home, *command, "--json")
        found = json.loads(done.stdout)
        return done.exit_code, found.get("changed_since_validation", [])

    def under(seconds):
        policy = tmp_path / f"policy-{seconds}.toml"
        text = POLICY_FILE.read_text().replace(
            "clock_tolerance_seconds = 300", f"clock_tolerance_seconds = {seconds}"
        )
        policy.write_text(re.sub(r"(?m)^version = .*$", f'version = "of {seconds} seconds"', text))
        assert run(home, "policy", "activate", policy, "--by", "ann", "--reason", "clocks").exit_code == 0

    gone = {"BONITAS_HOME": str(home), "BONITAS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    unasked = ["data", "validate", str(book), "--clock-tolerance-seconds", "900"]
    assert CliRunner().invoke(bonitas.main, unasked, env=gone).exit_code == 0, "it asks no store"
    named = CliRunner().invoke(bonitas.main, unasked[:3], env=gone)
    assert (named.exit_code, "with --clock-tolerance-seconds no policy is asked" in named.stderr) == (1, True)

    validation = ("data", "validate", book, "--out", accepted)
    assert outcome(*validation)[0] == 1, "the policy that comes with the code allows 300 seconds"
    assert run(home, "migrate").exit_code == 0
    under(900)
    assert outcome(*validation)[0] == 0
    under(599)
    changed = ["the tolerance between clocks was changed"]
    assert outcome("data", "load", accepted) == (1, changed), "it was accepted under another policy"
    assert outcome("data", "load", book) == (1, [])
    under(600)
    assert outcome("data", "load", accepted) == (0, changed)
    assert outcome("data", "load", book) == (0, [])


@pytest.mark.parametrize(
    "spoil",
    [lambda text: text.replace("part-", "p-"), lambda _: "{", lambda _: "[]"],
    ids=["edited", "cut", "a list"],
)
def test_a_fingerprint_that_was_edited_is_no_fingerprint(book, tmp_path, spoil):
    write_accepted_file(
        book, stands_at=book, validated_at="2026", report=tmp_path, refused=0, clock_tolerance_ms=300_000
    )
    file = book / "accepted.json"
    file.write_text(spoil(file.read_text()))
    with pytest.raises(LedgerFolderError, match=r"accepted\.json"):
        read_accepted_file(book)


def test_validate_never_writes_into_what_it_validates_nor_over_what_is_not_its_own(book, tmp_path):
    home = tmp_path / "home"
    for option in ("--report", "--out"):
        inside = run(home, "data", "validate", book, option, book / "inside")
        assert (inside.exit_code, "validation never changes" in inside.stderr) == (1, True)
    around = run(home, "data", "validate", book, "--out", tmp_path)
    assert (around.exit_code, "must be a folder of its own" in around.stderr) == (1, True)
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.txt").write_text("mine")
    other = run(home, "data", "validate", book, "--out", own)
    assert (other.exit_code, "holds something else" in other.stderr) == (1, True)
    assert (own / "thesis.txt").read_text() == "mine"
    assert not home.exists()


def test_validate_says_the_reasons_and_writes_the_accepted_rows_apart(write_rows, a_row, tmp_path):
    book = write_rows(
        {
            "merchants": [a_row("merchants")],
            "customers": [a_row("customers"), a_row("customers", event_id="e-9", customer_id="a-customer")],
            "orders": [a_row("orders")],
            "invoices": [a_row("invoices")],
            "invoice_payments": [a_row("invoice_payments", amount_cents=-5)],
            # Money back that was never paid, as far as the accepted rows tell.
            "invoice_adjustments": [a_row("invoice_adjustments")],
            "order_events": [a_row("order_events", order_id="o-9")],
        }
    )
    (book / "labels.parquet").write_bytes(b"labels")
    before = {file: file.read_bytes() for file in book.rglob("*.parquet")}
    home, accepted = tmp_path / "home", tmp_path / "accepted"
    done = run(home, "data", "validate", book, "--out", accepted)
    assert done.exit_code == 1, done.output
    said = " ".join(done.stdout.split())
    assert "invoice_payments.amount_cents range: 1 row; amount_cents must lie between 0 and" in said
    assert "for example invoice-payments-1, -5" in said
    assert "invoice_adjustments.amount_cents refunded_above_paid: 1 row, for another refused row;" in said
    assert "order_events.order_id unknown_reference: 1 row; order_id names a row that the ledger" in said
    assert "1 of the 3 refused rows break no rule but for another refused row" in said
    assert {file: file.read_bytes() for file in book.rglob("*.parquet")} == before
    assert sorted(one.name for one in book.iterdir()) == sorted(
        [*{file.parent.name for file in before if file.parent != book}, "labels.parquet"]
    )
    (report,) = (home / "validation").iterdir()
    kept = json.loads((report / "quarantine" / "invoice_adjustments.jsonl").read_text())
    assert kept["is_consequence"] is True
    assert kept["violations"][0]["consequence_of"] == "invoice_payments invoice-payments-1"
    assert read_table(accepted, CONTRACTS["customers"])["customer_id"].to_pylist() == ["a-customer", "c-1"]
    assert (accepted / "labels.parquet").read_bytes() == b"labels"
    marked = read_accepted_file(accepted)
    assert marked is not None
    assert (marked.report, marked.refused) == (report, 3)
    assert f"(fingerprint {marked.fingerprint})" in said
    again = json.loads(run(home, "data", "validate", book, "--out", accepted, "--json").stdout)
    assert again["fingerprint"] == marked.fingerprint
    assert again["consequences"] == 1
    assert again["contracts"]["invoice_payments"]["broken_rules"][0]["example"] == {
        "event_id": "invoice-payments-1",
        "value": "-5",
    }
    assert (accepted.stat().st_mode & 0o777, marked.report.stat().st_mode & 0o777) == (0o700, 0o700)
    (accepted / "note.txt").write_text("mine")
    kept_safe = run(home, "data", "validate", book, "--out", accepted)
    assert (kept_safe.exit_code, "holds something else" in kept_safe.stderr) == (1, True)


def _pipe(part: Path) -> None:
    os.mkfifo(part)


def _socket(part: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.fspath(part))


ODD_PARTS = {
    "is a named pipe": _pipe,
    "is a socket": _socket,
    "is a link to a device": lambda part: part.symlink_to("/dev/zero"),
    "is a link to nowhere.parquet, which is not there": lambda part: part.symlink_to("nowhere.parquet"),
    "folders inside a contract's folder are not read": Path.mkdir,
}


@pytest.mark.parametrize("reason", ODD_PARTS)
def test_what_has_the_name_of_a_part_and_is_no_file_is_named_with_the_true_reason(
    book, rows_file, reason, monkeypatch
):
    part = rows_file(book, "credit_inquiries").with_name("p")
    # The path of a socket may have about a hundred signs.
    monkeypatch.chdir(part.parent)
    ODD_PARTS[reason](Path("p"))
    part.rename(part.with_name("part-00001.parquet"))
    (found,) = what_is_not_read(book)
    assert (found.path.rstrip("/"), reason in found.reason) == ("credit_inquiries/part-00001.parquet", True)
    with pytest.raises(RowsLeftOut, match="part-00001"):
        refuse_left_out_rows(book, (found,))


def _broken_part(book: Path) -> str:
    (book / "credit_inquiries" / "part-00001.parquet").write_bytes(b"PAR1")
    return "part-00001.parquet cannot be read as Parquet"


def _part_in_capitals(book: Path) -> str:
    copied(book / "credit_inquiries" / "part-00000.parquet", "PART-00001.PARQUET")
    return "credit_inquiries/PART-00001.PARQUET: only files named part-*.parquet are read"


def _part_with_another_ending(book: Path) -> str:
    copied(book / "credit_inquiries" / "part-00000.parquet", "part-00001.pq")
    return "credit_inquiries/part-00001.pq: only files named part-*.parquet are read"


def _link_to_nowhere(book: Path) -> str:
    (book / "credit_inquiries" / "part-00001.parquet").symlink_to("gone")
    return "credit_inquiries/part-00001.parquet: is a link to gone, which is not there"


def _empty_folder(book: Path) -> str:
    (book / "credit_inquiries" / "part-00001.parquet").mkdir()
    return "credit_inquiries/part-00001.parquet/: folders inside a contract's folder are not read"


def _contract_that_is_a_link_to_nowhere(book: Path) -> str:
    (book / "orders").symlink_to("gone")
    return "orders: is a link to gone, which is not there; rows lie in orders/part-*.parquet"


def _contract_that_is_a_file(book: Path) -> str:
    (book / "orders").write_bytes(b"PAR1")
    return "orders: is a file; rows lie in orders/part-*.parquet"


def _labels_that_are_a_link_to_nowhere(book: Path) -> str:
    (book / "labels.parquet").symlink_to("gone")
    return "labels.parquet: is a link to gone, which is not there"


@pytest.mark.parametrize(
    "spoil",
    [
        _broken_part,
        _part_in_capitals,
        _part_with_another_ending,
        _link_to_nowhere,
        _empty_folder,
        _contract_that_is_a_link_to_nowhere,
        _contract_that_is_a_file,
        _labels_that_are_a_link_to_nowhere,
    ],
)
def test_no_command_works_without_a_part_that_somebody_meant_to_be_read(book, tmp_path, spoil):
    said = spoil(book)
    for command in (("data", "validate"), ("data", "load"), ("train", "order-risk"), ("policy", "propose")):
        done = run(tmp_path / "home", *command, book)
        assert (done.exit_code, isinstance(done.exception, SystemExit)) == (1, True), command
        assert said in done.stderr, command
        assert not (tmp_path / "home").exists(), "nothing was written"


def test_a_column_that_no_contract_knows_is_said_by_name_by_whoever_reads_or_judges(
    book, rows_file, tmp_path
):
    file = rows_file(book, "customers")
    table = pq.read_table(file)
    pq.write_table(table.append_column("points\x1b[2J" + "x" * 1_000, pa.nulls(1, pa.int64())), file)
    name = "unknown column: customers.points\\x1b[2J" + "x" * 90 + "… in customers/part-00000.parquet; "
    loaded = run(tmp_path / "home", "data", "load", book)
    assert loaded.exit_code == 0, loaded.output
    assert name + "a row that has a value there is refused" in loaded.stderr
    built = run(tmp_path / "home", "features", "build", book, "--for", "order-risk", "--out", "f.parquet")
    assert name + "it is not read" in built.stderr


@pytest.mark.parametrize("name", ["labels.parquet", "accepted.json"])
def test_a_pipe_beside_the_rows_is_refused_and_not_waited_for(book, name):
    os.mkfifo(book / name)
    with pytest.raises(LedgerFolderError, match="is no file"):
        read_accepted_file(book) if name == "accepted.json" else read_parquet_file(book / name)


def test_a_folder_without_rows_is_no_validated_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    for command in ("validate", "load"):
        done = run(tmp_path / "home", "data", command, tmp_path / "empty")
        assert (done.exit_code, "holds no rows: they lie in DIR/CONTRACT" in done.stderr) == (1, True)
