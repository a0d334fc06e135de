"""A seeded speaker: draws words and builds the phrases that the phenomena are made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from harness.tasks.acceptability.words import Noun, Verb, Vocabulary

T = TypeVar("T")

PREPOSITIONS = ("near", "behind", "beside")
ADVERBS = ("never", "often", "always", "probably", "rarely")


class Pair(NamedTuple):
    """An acceptable sentence and its unacceptable twin."""

    good: str
    bad: str


class Speaker:
    """Draws from one vocabulary.

    Only `random.Random.random` is used, the one method whose sequence Python promises to keep.
    """

    def __init__(self, words: Vocabulary, seed: int) -> None:
        self.words = words
        self._random = random.Random(seed)

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self._random.random() * len(options))]

    def chance(self, probability: float = 0.5) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def shuffle(self, items: Sequence[T]) -> list[T]:
        """The items in a random order."""
        return sorted(items, key=lambda _: self._random.random())

    def person(self, plural: bool = False) -> str:
        """A noun for people of either gender."""
        return self.pick(self.words.people).form(plural)

    def kin(self, female: bool) -> str:
        """A singular noun whose gender is plain."""
        return self.pick(self.words.women if female else self.words.men).singular

    def gendered(self, female: bool) -> str:
        """A name, or `the` and a noun, whose gender is plain."""
        if self.chance():
            return self.pick(self.words.her_names if female else self.words.his_names)
        return f"the {self.kin(female)}"

    def name(self) -> str:
        """A first name."""
        return self.pick(self.words.her_names + self.words.his_names)

    def subject(self) -> str:
        """A singular subject: a name or `the` and a noun."""
        return self.name() if self.chance(0.4) else "the " + self.person()

    def beside(self, noun: str) -> str:
        """A prepositional phrase around `the` noun."""
        return f"{self.pick(PREPOSITIONS)} the {noun}"

    def place(self, plural: bool = False) -> str:
        """A place noun."""
        return self.pick(self.words.places).form(plural)

    def deed(self) -> tuple[Verb, Noun]:
        """A verb done to things, and a thing that suits it."""
        verb = self.pick(self.words.strong_verbs + self.words.thing_verbs)
        return verb, self.pick(verb.objects)

    def predicate(self, plural: bool) -> Pair:
        """A finite predicate that agrees with its subject, and one that does not."""
        kind = self.pick(("is", "was", "has", "acts"))
        if kind in ("is", "was"):
            rest = self.pick(self.words.personal)
            right, wrong = _flip(plural, ("is", "are") if kind == "is" else ("was", "were"))
        elif kind == "has":
            rest = self.pick(self.words.intransitive).participle
            right, wrong = _flip(plural, ("has", "have"))
        else:
            verb = self.pick(self.words.intransitive)
            rest = self.pick(("every day", "all the time", "too much"))
            right, wrong = verb.present(plural), verb.present(not plural)
        return Pair(f"{right} {rest}", f"{wrong} {rest}")


def _flip(plural: bool, forms: tuple[str, str]) -> tuple[str, str]:
    """Order (singular, plural) forms as (right, wrong)."""
    return (forms[1], forms[0]) if plural else forms
