"""The fingerprint of a model's files: it changes with any byte and any name, and with nothing else."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features.model_files import FilesFingerprint, ModelFiles, RecordedFingerprint, what_differs

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)
FOLDERS = st.dictionaries(NAMES, st.binary(max_size=40), max_size=5)


def found_to_differ(files: ModelFiles, kept: ModelFiles) -> bool:
    by_registry = RecordedFingerprint(fingerprint=kept.fingerprint, said_by="the registry")
    return what_differs(files, [by_registry]) is not None


@given(kept=FOLDERS, now=FOLDERS)
def test_files_agree_with_what_was_kept_of_them_exactly_where_names_and_contents_are_the_same(
    kept: dict[str, bytes], now: dict[str, bytes]
) -> None:
    assert found_to_differ(ModelFiles(contents=now), ModelFiles(contents=kept)) == (now != kept)
    assert not found_to_differ(ModelFiles(contents=dict(reversed(now.items()))), ModelFiles(contents=now))


@given(contents=FOLDERS, data=st.data())
def test_one_bit_that_flipped_anywhere_is_found_and_its_file_is_named(
    contents: dict[str, bytes], data: st.DataObject
) -> None:
    assume(any(contents.values()))
    name = data.draw(st.sampled_from([name for name, content in contents.items() if content]))
    changed = bytearray(contents[name])
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    kept = RecordedFingerprint(fingerprint=ModelFiles(contents=contents).fingerprint, said_by="the registry")
    difference = what_differs(ModelFiles(contents={**contents, name: bytes(changed)}), [kept])
    assert difference == f"{name} was changed (says the registry)"


@given(contents=FOLDERS)
def test_a_fingerprint_is_read_back_from_a_line_and_from_tags(contents: dict[str, bytes]) -> None:
    fingerprint = ModelFiles(contents=contents).fingerprint
    assert FilesFingerprint.from_json(fingerprint.to_json()) == fingerprint
    assert FilesFingerprint.from_tags({"kind": "scorecard", **fingerprint.to_tags()}) == fingerprint
    assert FilesFingerprint.from_tags({"kind": "scorecard"}) is None


def test_tags_that_were_edited_still_keep_the_hash_over_all_files() -> None:
    fingerprint = ModelFiles(contents={"model.json": b"{}"}).fingerprint
    edited = FilesFingerprint.from_tags({**fingerprint.to_tags(), "model_files": "no JSON"})
    assert edited is not None
    kept = [RecordedFingerprint(fingerprint=edited, said_by="the registry")]
    assert what_differs(ModelFiles(contents={"model.json": b"{}"}), kept) is None
    assert "model.json was added" in str(what_differs(ModelFiles(contents={"model.json": b"[]"}), kept))


def test_a_folder_is_read_whole_with_hidden_files_and_those_of_its_folders(tmp_path: Path) -> None:
    contents = {"model.json": b"{}", ".hidden": b"", "more/parts/booster.txt": b"tree\n"}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert dict(ModelFiles.read(tmp_path).contents) == contents
    with pytest.raises(OSError, match="is no folder"):
        ModelFiles.read(tmp_path / "nowhere")
