"""Whatever a suite holds, and whatever overrides say: cells, or one clean error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from bounds import bounded
from fuzz import changed_bytes, fuzzed
from hypothesis import event, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness import run
from harness.errors import UserError
from harness.forecasting.requests import requests_of, shapes_without_data
from harness.models.spec import ModelSpec
from harness.run_files import read_manifest
from harness.simulation.target import CPU
from harness.store import MANIFEST, Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.suite.reading import parse
from harness.suite.settings import TrainSettings
from harness.suite.suite import Suite

ROOT = Path(__file__).resolve().parents[2]
SUITES = [file.read_bytes() for file in sorted((ROOT / "suites").glob("*.yaml"))]
PARSED = [parse(text.decode())[0] for text in SUITES]
SETTINGS = [*TrainSettings.model_fields]
LOOKED_AT = 12  # cells of a suite


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # some suites name folders of theirs


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a value."""
    if not isinstance(value, (dict, list)):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        yield (*path, key)
        yield from places(value[key], *path, key)


def at(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


def name_of(path: Sequence[Any]) -> str:
    """Return the last key of a path that is no index."""
    return next((key for key in reversed(path) if isinstance(key, str)), "")


# What the suites hold: all keys with their values, and all words.
BY_KEY: dict[str, list[Any]] = {}
for _suite in PARSED:
    for _path in places(_suite):
        BY_KEY.setdefault(name_of(_path), []).append(at(_suite, _path))
PARTS = [part for parts in BY_KEY.values() for part in parts]
LEAVES = [part for part in PARTS if not isinstance(part, (dict, list))]
WORDS = sorted({*BY_KEY, *map(str, LEAVES)})
ODD = ["", " ", ".", "..", "a/b", "\n", "[x]", "~", "null", "yes", "010", ".inf", "1e999", "é",
       "\u202e", "x" * 300, "*", "[!", "{lora: {}}", "-1", "0", "2", "1e-3"]  # fmt: skip
NUMBERS = st.sampled_from([0, 1, 2, 3, 7, -1, 0.5, 1.0, 1e-3, 2**31, 2**32, 2**63 - 1, 10**30,
                           1e308, 5e-324, float("inf"), float("nan")])  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.integers(), st.floats(), st.sampled_from(ODD),
    st.sampled_from(WORDS), st.text(max_size=8),
)  # fmt: skip
KEYS = st.one_of(st.sampled_from(WORDS), st.sampled_from(ODD), st.text(max_size=6))
VALUES = st.one_of(
    SCALARS,
    st.sampled_from(PARTS),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=6,
    ),
)


def value_for(key: str) -> st.SearchStrategy[Any]:
    """Draw what the key has elsewhere, a number, or anything."""
    fitting = st.sampled_from(BY_KEY.get(key) or PARTS)
    return st.one_of(fitting, fitting, NUMBERS, VALUES)


def changed(suite: Any, data: st.DataObject) -> Any:
    """Return the suite with one place of it replaced, removed, added to or renamed."""
    suite = json.loads(json.dumps(suite))
    *way, last = data.draw(st.sampled_from(list(places(suite))))
    holder, name = at(suite, way), name_of((*way, last))
    what = data.draw(st.sampled_from(["replace", "replace", "replace", "add", "remove", "rename"]))
    if what == "remove":
        del holder[last]
    elif what == "replace":
        holder[last] = data.draw(value_for(name))
    elif isinstance(holder, dict):
        key = data.draw(KEYS)
        holder[key] = data.draw(value_for(key)) if what == "add" else holder.pop(last)
    else:
        holder.insert(last, data.draw(value_for(name)) if what == "add" else holder[last])
    return suite


@contextmanager
def _refused_or(block: AbstractContextManager[None]) -> Iterator[None]:
    """Let the block end in a clean error; counts for --hypothesis-show-statistics."""
    try:
        with block:
            yield
        event("is a suite")
    except UserError as error:
        event("is refused")
        told = str(error)
    else:
        told = "nothing"
    assert 0 < len(told) < 20_000


def take(file: Path, overrides: tuple[str, ...] = ()) -> None:
    """Load a suite; where it is one, all that is made of its cells before any work goes well."""
    with _refused_or(bounded()):
        suite = load_suite(file, overrides)
        cells = suite.cells()
        store = Store(file.parent)
        store.write_manifest(suite.model_dump(mode="json"), cells)
        listed = read_manifest(file.parent / MANIFEST)["cells"]
        assert [(cell["path"], cell["key"]) for cell in listed] == [(c.path, c.key) for c in cells]
        for cell in cells[:LOOKED_AT]:
            told = Cell.model_validate_json(cell.model_dump_json())
            assert told.key == cell.key, "a cell's process is told another cell"
            assert store.record_file(cell).resolve().is_relative_to(file.parent.resolve())
            with suppress(UserError):
                requests_of(cell, CPU, shapes_without_data(cell))


@fuzzed(60)
@given(data=st.data())
def test_changed_bytes_of_a_suite(tmp_path: Path, data: st.DataObject) -> None:
    file = tmp_path / "changed.yaml"
    text = data.draw(st.sampled_from(SUITES))
    marks = st.sampled_from([b"*a", b"&a ", b"!!int ", b"- ", b": ", b"{", b"[", b"]", b"|\n", b"%",
                             b"'", b'"', b"\t", b"#", b"---\n", b"<<: ", b"? ", b"\n"])  # fmt: skip
    new = st.one_of(st.binary(max_size=8), marks, st.sampled_from(WORDS).map(str.encode))
    for _ in range(data.draw(st.integers(1, 3))):
        text = changed_bytes(data, text, 30, new)
    file.write_bytes(text)
    take(file)


@fuzzed(150)
@given(data=st.data())
def test_any_value_anywhere_in_a_suite(tmp_path: Path, data: st.DataObject) -> None:
    file = tmp_path / "changed.yaml"
    suite = data.draw(st.sampled_from(PARSED))
    for _ in range(data.draw(st.integers(1, 2))):
        suite = changed(suite, data)
    file.write_text(yaml.safe_dump(suite, allow_unicode=True), encoding="utf-8", errors="replace")
    take(file)


DOTTED = [
    *Suite.model_fields, *(f"{top}.{key}" for top in ("train", "grid") for key in SETTINGS),
    *(f"model.{key}" for key in ModelSpec.model_fields),
]  # fmt: skip


def typed(value: Any) -> str:
    """Return a value as someone types it: one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """Draw `key=value`: keys that there are and others, values as for the suite and any text."""
    key = draw(st.one_of(*3 * [st.sampled_from(DOTTED)], st.lists(KEYS).map(".".join)))
    value = draw(value_for(key.rpartition(".")[2]))
    if key.startswith("grid.") and draw(st.booleans()):
        value = [value]
    return draw(st.one_of(*5 * [st.just(f"{key}={typed(value)}")], st.text(max_size=12),
                          st.text(max_size=12).map(f"{key}=".__add__)))  # fmt: skip


@fuzzed(150)
@given(data=st.data())
def test_any_overrides_of_a_suite(tmp_path: Path, data: st.DataObject) -> None:
    file = tmp_path / "suite.yaml"
    file.write_bytes(data.draw(st.sampled_from(SUITES)))
    given = tuple(data.draw(st.lists(overrides(), min_size=1, max_size=3)))
    take(file, given)
    with bounded():
        done = CliRunner().invoke(
            run.app, ["--dry-run", "--out", str(tmp_path / "out"), "--", str(file), *given]
        )
    assert done.exit_code in (0, 2), done.output
    assert "Traceback" not in done.output
