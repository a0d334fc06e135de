"""Files and folders that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import durable


def test_a_file_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file.json"
    for text in ("first", "second, longer"):
        durable.write_text(file, text)
        assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]


def test_a_folder_is_replaced_when_its_block_ends_well(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("a", "b"):
        with durable.new_folder(folder) as draft:
            assert not list(draft.iterdir())
            (draft / name).write_text(name)
            assert not (folder / name).exists()
        assert [path.name for path in folder.iterdir()] == [name]
    with pytest.raises(OSError), durable.new_folder(folder) as draft:
        (draft / "no" / "such" / "folder").write_text("half")
    assert [path.name for path in folder.iterdir()] == ["b"], "the old one stays"
    assert durable.draft_of(folder).is_dir()
