"""What a trainer's keys come to that its importer does not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from methods.wording import did_you_mean

if TYPE_CHECKING:
    from harness.recipes.recipe import Recipe

# Values that ask for nothing.
OFF: tuple[Any, ...] = (None, False, 0, "", [], {})
Kind = Literal["inert", "differs", "refused", "unknown"]


@dataclass(frozen=True)
class Keys:
    """A trainer's keys; names may be patterns (`wandb_*`), and a whole name goes before them.

    Attributes:
        acts: keys that the importer reads, or not, where another key makes them mean nothing;
            parted by blanks.
        inert: no byte of a training step depends on them; parted by blanks.
        differs: where they are on: what the forecast has in their place, and which way it errs.
        refused: where they are on: why there is no forecast.
    """

    acts: str = ""
    inert: str = ""
    differs: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> frozenset[str]:
        """All names, patterns too."""
        return frozenset([*self._idle, *self.differs, *self.refused])

    @cached_property
    def _idle(self) -> tuple[str, ...]:
        return (*self.acts.split(), *self.inert.split())

    def kind(self, key: str, *, on: bool) -> tuple[Kind, str]:
        """Return what a key comes to that was not read, and the sentence about it."""
        for fits in (str.__eq__, fnmatchcase):
            for pattern, text in self.refused.items():
                if fits(key, pattern):
                    return ("refused", text) if on else ("inert", "")
            for pattern, text in self.differs.items():
                if fits(key, pattern):
                    return ("differs", text) if on else ("inert", "")
            if any(fits(key, pattern) for pattern in self._idle):
                return "inert", ""
        return "unknown", ""


def sort_out(recipe: Recipe, keys: Keys) -> tuple[list[str], list[str]]:
    """Note in the recipe what its keys come to that were not read.

    Returns:
        Keys on which nothing depends; and the unknown ones, each with its line and the nearest
        known one.
    """
    known = recipe.asked | keys.names
    inert: list[str] = []
    unknown: list[str] = []
    for key, value in recipe.leaves(known):
        if key in recipe.asked:
            continue
        kind, text = keys.kind(key, on=value not in OFF)
        if kind == "refused":
            recipe.refuse(key, text)
        elif kind == "differs":
            recipe.differ(f"{recipe.said(key)}: {text}")
        elif kind == "inert":
            inert.append(key)
        else:
            hint = did_you_mean(key, (name for name in known if "*" not in name))
            unknown.append(f"{key} ({recipe.place(key)}{'; ' + hint if hint else ''})")
    return inert, unknown
