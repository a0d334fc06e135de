"""What the documentation names is there: functions, files, links, commands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def names_of(file: Path) -> set[str]:
    """Functions and classes of a file, methods with their class."""
    names = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {
                f"{node.name}.{inner.name}"
                for inner in ast.iter_child_nodes(node)
                if isinstance(inner, ast.FunctionDef)
            }
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_links_exist(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(
        r"`((?:harness|methods|tests|suites|reports|docs|benchmarks)/[\w./]+)`", text
    )
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing, f"{page.name} names what is not there: {missing}"
    links = re.findall(r"\]\((?!https?:)([\w./-]+)\)", text)
    broken = [link for link in links if not (page.parent / link).exists()]
    assert not broken, f"{page.name} links to what is not there: {broken}"


def test_a_cells_way_names_real_functions() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    way = re.findall(r"`((?:harness|methods)/[\w/]+\.py): ([\w.]+)`", text)
    assert len(way) >= 20
    wrong = [(file, name) for file, name in way if name not in names_of(ROOT / file)]
    assert not wrong, f"not defined there: {wrong}"


def test_every_floor_of_the_table_is_a_floor_of_the_contract() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("## The floors") : text.index("## The seams")]
    named = {
        name.removeprefix("harness/").removesuffix("/").removesuffix(".py")
        for row in re.findall(r"^\| (`.*?) \|", table, flags=re.M)
        for name in re.findall(r"`([\w/.]+)`", row)
    }
    there = {
        path.stem for path in (ROOT / "harness").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }  # fmt: skip
    assert named - {"methods"} == there - {"__init__", "__main__"}
