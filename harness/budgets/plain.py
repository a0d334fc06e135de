"""YAML in which every value is what it looks like: for files that a verdict depends on."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError


class _Plain(yaml.SafeLoader):
    """Neither aliases, tags nor keys that stand twice; `010`, `1:30`, `yes` and dates are words."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            problem = "an alias, an anchor or a tag; values are written out here"
            raise ConstructorError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key that is no word", key.start_mark)
            if key.value in seen:
                raise ConstructorError(
                    None, None, f"key {key.value!r} stands here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Plain.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)$"), list("-0123456789")
)
_Plain.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"-?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?$"),
    list("-0123456789"),
)
_Plain.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|~|)$"), ["n", "~", ""])


def load_plain(text: str) -> Any:
    """Return what the text holds.

    Raises:
        yaml.YAMLError: it is not YAML, repeats a key of a mapping, or has aliases or tags.
        ValueError, RecursionError: a number is too long, or it is nested too deep.
    """
    return yaml.load(text, Loader=_Plain)  # a SafeLoader
