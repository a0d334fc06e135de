"""The file of accepted peaks: what is written is read, what is wrong is told, two changes merge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.testing.accepted import Accepted, read_accepted, write_accepted

ONE = Accepted(
    of="allocated", bytes=33_311_744, software={"torch": "2.13.0"}, reason='a "word"\n',
    places={"activations | up": 2_097_152},
)  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "memory_accepted.toml"
    assert read_accepted(file) == {}
    kept = {'test_a.py::test[é "x"\x7f\\] @ rtx4090': ONE, "test_b.py::test @ cpu": ONE}
    write_accepted(file, kept)
    assert read_accepted(file) == kept
    assert max(map(len, file.read_text().splitlines())) <= 200


@pytest.mark.parametrize(
    "text",
    [
        "schema = 2\n", "schema = 1\nschema = 1\n", "not = [toml", "\udcff",
        'schema = 1\n[test."a"]\nof = "allocated"\nbytes = -1\n', "schema = 1\nmore = 1\n",
    ],
)  # fmt: skip
def test_anything_else_is_told_with_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "memory_accepted.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"memory_accepted\.toml"):
        read_accepted(file)


def test_two_pull_requests_merge(tmp_path: Path) -> None:
    names = [f"tests/test_step.py::test_{word} @ rtx4090" for word in ("a", "b", "c", "d")]
    sides = {}
    for side, moved in (("base", None), ("ours", names[1]), ("theirs", names[2])):
        sides[side] = tmp_path / f"{side}.toml"
        kept = dict.fromkeys(names, ONE)
        if moved:
            kept[moved] = ONE.model_copy(update={"num_bytes": 40_000_000, "reason": side})
        write_accepted(sides[side], kept)
    merged = subprocess.run(
        ["git", "merge-file", "-p", sides["ours"], sides["base"], sides["theirs"]],
        capture_output=True, text=True,
    )  # fmt: skip
    assert merged.returncode == 0, merged.stdout
    sides["base"].write_text(merged.stdout)
    found = read_accepted(sides["base"])
    assert [found[name].reason for name in names] == [ONE.reason, "ours", "theirs", ONE.reason]
