"""Checksums of what lies in a folder, as `sha256sum` writes and checks them; without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.untrusted import bytes_of

SUMS = "SHA256SUMS"
SAVED = ("state.json", "tensors.safetensors")  # what every saved state has
SUMMED = ("*.json", "*.safetensors")  # a text for people, say, may change


def write_sums(folder: Path) -> None:
    """Note the hashes of the JSON files and tensors that lie in the folder now."""
    names = sorted(file.name for pattern in SUMMED for file in folder.glob(pattern))
    lines = [f"{_line(folder, name)}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> None:
    """Hold a saved state's files to their hashes; a file that came later has none.

    Raises:
        OSError, ValueError: a file is missing or is not what was written, or one of the state's,
            or one with tensors, has no hash.
    """
    stated = bytes_of(folder / SUMS).decode()
    lines = stated.removesuffix("\n").split("\n")
    names = [line.partition("  ")[2] for line in lines]
    wanted = {*SAVED, *(file.name for file in folder.glob("*.safetensors"))}
    if not stated.endswith("\n") or not wanted <= {*names} or any("/" in name for name in names):
        raise ValueError(f"{SUMS} is not what was written")
    for line, name in zip(lines, names, strict=True):
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if line != _line(folder, name):
            raise ValueError(f"{name} is not what was written (its checksum differs)")


def _line(folder: Path, name: str) -> str:
    with (folder / name).open("rb") as stream:
        return f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}"
