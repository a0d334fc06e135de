"""What a trainer's file came to: a suite, and what has to be said about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from harness.suite.document import Document

# What is assumed of a key, by a part of its sentence that names no key.
SAYING = {"model": "has the sizes of the catalogue's", "train.max_length": "longest example has"}
WIDTH = 98  # of a comment


@dataclass(frozen=True)
class Imported:
    """A trainer's file, read.

    Attributes:
        trainer: whose file it is.
        source: the file.
        suite: as a suite's YAML would say it.
        assumed: what the file does not say, and the forecast takes.
        differs: what the file says, and the forecast does not have.
        inert: its keys on which no byte of a step depends.
        unknown: its keys that nobody knows, each with its line and the nearest known one.
    """

    trainer: str
    source: str
    suite: Mapping[str, Any]
    assumed: Sequence[str] = ()
    differs: Sequence[str] = ()
    inert: Sequence[str] = ()
    unknown: Sequence[str] = ()

    def document(self) -> Document:
        """Return the suite as one that was read."""
        return Document(self.source, dict(self.suite))

    def beside(self, overrides: Sequence[str]) -> Imported:
        """Return it without what was assumed of keys that are said behind the file."""
        keys = [text.partition("=")[0].strip() for text in overrides]
        gone = [f"({key}=" for key in keys]
        gone += [text for key, text in SAYING.items() if any(each.startswith(key) for each in keys)]
        kept = [text for text in self.assumed if not any(part in text for part in gone)]
        return replace(self, assumed=kept)

    def departures(self) -> list[str]:
        """Return what the forecast does not have of the file, unknown keys too."""
        unknown = [
            f"{self.trainer} has no key {key} that is known here: if memory depends on it, the "
            "forecast does not have it"
            for key in self.unknown
        ]
        return [*unknown, *self.differs]

    def notes(self) -> list[str]:
        """Return all that has to be said about it, a sentence each."""
        assumed = ["Assumed: " + "; ".join(self.assumed)] if self.assumed else []
        return assumed + [f"Not as in the file: {text}." for text in self.departures()]

    def text(self) -> str:
        """Return the suite as a file, with what has to be said about it in front."""
        said = {"Assumed": self.assumed, "Not as in the file": self.departures()}
        lines = [f"{self.trainer}'s {self.source}, as headroom reads it."]
        lines += [f"{kind}: {text}." for kind, texts in said.items() for text in texts]
        head = [part for line in lines for part in wrap(line, WIDTH, subsequent_indent="  ")]
        body = yaml.safe_dump(dict(self.suite), sort_keys=False, width=WIDTH, allow_unicode=True)
        return "\n".join([*(f"# {line}" for line in head), body])


def suite_name(source: str) -> str:
    """Return a suite's name that a file's name makes."""
    return re.sub(r"[^\w.-]+", "-", Path(source).stem).strip("-.") or "recipe"
