"""YAML as suites take it: each plain word has one meaning, and reading has bounds.

Words mean what YAML 1.2's core schema says: `true`, `false`, `null`, decimal numbers; the rest is
text. YAML 1.1, which PyYAML reads, would take `yes` for true, `010` for 8 and `1:30` for 90.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

Path_ = tuple[str | int, ...]

LARGEST = 1 << 20  # characters of a file
MOST_VALUES = 100_000  # with every alias followed: a bomb has billions in a few lines
MOST_TEXT = 4 * LARGEST
DEEPEST = 50
WORDS = {"": None, "~": None} | {
    spelling: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.capitalize(), word.upper())
}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")  # in no file name and in no UTF-8


class NoSuiteText(ValueError):
    """Text that is not what a suite may hold; `line` counts from 1, None where it is the whole."""

    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str) -> tuple[Any, dict[Path_, int]]:
    """Return the value that the text spells, and the line of every place in it.

    Raises:
        NoSuiteText: no YAML, too large or too deep, a tag, a key twice, an alias inside of itself,
            a number or a character that nothing downstream can hold.
    """
    if len(text) > LARGEST:
        raise NoSuiteText(None, f"{len(text):,} characters; a suite has at most {LARGEST:,}")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except NoSuiteText:
        raise
    except yaml.YAMLError as error:
        raise NoSuiteText(None, f"not valid YAML: {error}") from None
    except RecursionError:
        raise NoSuiteText(None, f"not valid YAML: more than {DEEPEST} levels deep") from None
    except (ValueError, OverflowError) as error:  # an escape that is no character
        raise NoSuiteText(None, f"not valid YAML: {error}") from None
    reader = _Reader()
    return (None if node is None else reader.value(node, ())), reader.lines


class _Loader(yaml.SafeLoader):
    """Leaves the meaning of words to us, and refuses tags, which would change it."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own name)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag is not None:
            line = event.start_mark.line + 1
            raise NoSuiteText(line, f"the tag {tag}: a suite has none; quote what is text")
        return super().compose_node(parent, index)


class _Reader:
    """Makes values of nodes, and notes where they stand."""

    def __init__(self) -> None:
        self.lines: dict[Path_, int] = {}
        self._values = self._text = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: Path_) -> Any:
        """Return the node's value; raises NoSuiteText."""
        self._values += 1
        if self._values > MOST_VALUES:
            raise NoSuiteText(_line(node), f"more than {MOST_VALUES:,} values, aliases followed")
        self.lines[path] = _line(node)
        if isinstance(node, yaml.ScalarNode):
            self._text += len(node.value)
            if self._text > MOST_TEXT:
                raise NoSuiteText(
                    _line(node), f"more than {MOST_TEXT:,} characters, aliases followed"
                )
            return _scalar(node)
        if id(node) in self._open:
            raise NoSuiteText(_line(node), "an alias of what it stands in")
        if len(self._open) >= DEEPEST:
            raise NoSuiteText(_line(node), f"more than {DEEPEST} levels deep")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.value(each, (*path, index)) for index, each in enumerate(node.value)]
        finally:
            self._open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        own: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = _key(key), _line(key)
            if name in seen:
                raise NoSuiteText(line, f"key {name!r} is already given on line {seen[name]}")
            seen[name] = line
            if name == "<<" and key.style is None:
                for each in self._merged(value, path):
                    inherited = {**each, **inherited}
            else:
                own[name] = self.value(value, (*path, name))
                self.lines[*path, name] = line
        return {**inherited, **own}

    def _merged(self, node: yaml.Node, path: Path_) -> Iterator[dict[str, Any]]:
        """Yield the mappings that `<<` brings in, the first of them the strongest."""
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            value = self.value(each, path)
            if not isinstance(value, dict):
                raise NoSuiteText(_line(each), f"<< takes mappings, this is {value!r}")
            yield value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _key(node: yaml.Node) -> str:
    """Return a key: text, also where a value would be a number."""
    if not isinstance(node, yaml.ScalarNode):
        raise NoSuiteText(_line(node), "a key is a word, not a list or a mapping")
    return _text(node)


def _text(node: yaml.ScalarNode) -> str:
    text = str(node.value)
    wrong = IMPOSSIBLE.search(text)
    if wrong:
        raise NoSuiteText(_line(node), f"text with the character U+{ord(wrong[0]):04X}")
    return text


def _scalar(node: yaml.ScalarNode) -> Any:
    text = _text(node)
    if node.style is not None:  # quoted, or a block of text
        return text
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            raise NoSuiteText(_line(node), f"{text[:40]}: more than 64 bits")
        return int(text)
    if NUMBER.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise NoSuiteText(_line(node), f"{text[:40]}: not a finite number")
        return number
    return text
