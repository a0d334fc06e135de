"""YAML with line numbers, `key=value` overrides, and validation errors that name both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import UserError
from harness.suite.reading import NoSuiteText, Path_, parse
from methods.wording import did_you_mean, mistake, nearest, shortened

M = TypeVar("M", bound=BaseModel)
MOST_TOLD = 20  # mistakes in one message
MOST_FILES = 12  # names in one message


@dataclass
class Document:
    """A parsed YAML file (or what overrides made of it) that remembers where values came from."""

    source: str
    data: dict[str, Any]
    lines: dict[Path_, int] = field(default_factory=dict)
    overrides: dict[Path_, str] = field(default_factory=dict)
    files: dict[Path_, str] = field(default_factory=dict)  # where it is not the source
    below: list[dict[str, Any]] = field(default_factory=list)  # what it is laid over, file by file

    def where(self, loc: Path_) -> str:
        """Say where the value at `loc` was written: an override, or file and line.

        Validation may have moved a value (`lora: {r: 8}` becomes `options.r`), so the line is that
        of the entry with the longest common prefix that ends in the same key.
        """
        override = self.override_at(loc)
        if override is not None:
            return f"override {override[1]}"

        def fit(path: Path_) -> tuple[int, bool, int]:
            same = (ours == theirs for ours, theirs in zip(path, loc, strict=False))
            return sum(takewhile(bool, same)), path[-1:] == loc[-1:], -len(path)

        best = max(self.lines, key=fit, default=None)
        if best is None:
            return self.source
        return f"{self.files.get(best, self.source)}:{self.lines[best]}"

    def override_at(self, loc: Path_) -> tuple[Path_, str] | None:
        """Return where the override wrote that gave the value at `loc`, and its key, if one did.

        What is wrong with the whole is no single override's fault.
        """
        for path, key in self.overrides.items() if loc else ():
            shared = min(len(path), len(loc))
            if path[:shared] == loc[:shared]:
                return path, key
        return None

    def key_of(self, loc: Path_) -> str:
        """Return what the user calls the place: by the override's key, if one wrote there.

        A mapping that validation made of keys that stand flat is no part of it.
        """
        path, key = self.override_at(loc) or ((), "")
        parts: list[str] = [key] if key else []
        value: Any = self.data
        for depth, part in enumerate(loc):
            made = isinstance(value, dict) and part not in value and depth < len(loc) - 1
            if depth >= len(path) and not made:
                parts.append(str(part))
            if not made:
                value = _inside(value, part)
        return ".".join(parts)


def _inside(value: Any, part: str | int) -> Any:
    """Return what stands there, None where nothing does."""
    try:
        return value[part]
    except (LookupError, TypeError):
        return None


def read_yaml(path: Path, kind: str = "suite") -> Document:
    """Read a YAML mapping; refuse duplicate keys and empty files.

    Args:
        path: of the file.
        kind: of file, for the errors.

    Raises:
        UserError: the file is missing, is not UTF-8, is not YAML as suites take it, or does not
            hold a mapping.
    """
    try:
        data, lines = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(_missing_file(path, error, kind)) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: {error}") from None
    except NoSuiteText as error:
        place = path if error.line is None else f"{path}:{error.line}"
        raise UserError(f"{place}: {error}") from None
    if not isinstance(data, dict):
        given = shortened(data)
        raise UserError(f"{path}: a {kind} is a mapping of keys to values, this file holds {given}")
    return Document(str(path), data, lines)


def _missing_file(path: Path, error: OSError, kind: str) -> str:
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return f"{path}: no such folder: {folder}"
    reasons = {FileNotFoundError: "no such file", IsADirectoryError: f"a folder, not a {kind}"}
    reason = reasons.get(type(error), error.strerror)
    files = [*folder.glob("*.y*ml"), *(folder / "suites").glob("*.y*ml")]
    names = [str(file) for file in files if not file.name.startswith(".")]
    if not names:
        return f"{path}: {reason}; no {kind}s beside it"
    if len(names) <= MOST_FILES:
        return f"{path}: {reason}; {nearest(path, names)}"
    meant = did_you_mean(path, names)
    beside = f"{len(names)} {kind}s are beside it"
    return f"{path}: {reason}; {meant + ' ' if meant else ''}({beside})"


def split_assignment(text: str) -> tuple[str, Any]:
    """Split `a.b=value`; the value is read as YAML, so `[1, 2]`, `null` and `true` work."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"override {text!r}: expected key=value, such as train.batch_size=16")
    try:
        return key.strip(), parse(value)[0]
    except NoSuiteText as error:
        raise UserError(f"override {shortened(text)}: {error}") from None


def assign(document: Document, key: str, value: Any) -> None:
    """Set the dotted `key` of the document, making mappings on the way."""
    *parents, last = key.split(".")
    target = document.data
    for depth, parent in enumerate(parents):
        child = target.setdefault(parent, {})
        if not isinstance(child, dict):
            name = ".".join(parents[: depth + 1])
            raise UserError(f"override {key}: {name} is {shortened(child)}, not a mapping of keys")
        target = child
    target[last] = value
    document.overrides[tuple(key.split("."))] = key


def validate(model: type[M], document: Document, allowed: Callable[[Path_], Iterable[str]]) -> M:
    """Validate the document as `model`; `allowed(loc)` lists the keys that fit at a place.

    Raises:
        UserError: one line per mistake, each with file and line (or override), key and value.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        found = [one for one in error.errors() if not _follows(one)] or error.errors()
        lines = [_explain(finding, document, allowed) for finding in found[:MOST_TOLD]]
        if len(found) > MOST_TOLD:
            lines.append(f"{document.source}: and {len(found) - MOST_TOLD} more")
        raise UserError("\n       ".join(dict.fromkeys(lines))) from None


def _follows(finding: Any) -> bool:
    """Tell whether a list counts as empty only because its items are wrong."""
    return finding["type"] == "too_short" and len(finding["input"]) > 0


def _explain(finding: Any, document: Document, allowed: Callable[[Path_], Iterable[str]]) -> str:
    loc: Path_ = tuple(finding["loc"])
    fitting = allowed(loc) if finding["type"] == "extra_forbidden" else ()
    return f"{document.where(loc)}: {mistake(finding, document.key_of(loc), fitting)}"
