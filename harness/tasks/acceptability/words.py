"""Three vocabularies that share no content word, with the little morphology English needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from harness.tasks.acceptability import lexicon

# Position modulo 5 decides who owns an entry: train takes three fifths, the other two one each.
SHARES = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}


class Noun(NamedTuple):
    """A count noun."""

    singular: str
    plural: str

    def form(self, plural: bool) -> str:
        """The noun in one number."""
        return self.plural if plural else self.singular


class Verb(NamedTuple):
    """A verb and the nouns that make natural objects of it (none where persons do, or nothing)."""

    base: str
    past: str
    participle: str
    gerund: str
    objects: tuple[Noun, ...]

    def present(self, plural: bool) -> str:
        """The present tense, third person."""
        return self.base if plural else _with_s(self.base)

    def regular_past(self) -> str:
        """The past tense that the verb would have if it were regular, as in *breaked."""
        return _regular_past(self.base)


@dataclass(frozen=True)
class Vocabulary:
    """One split's content words by category."""

    people: tuple[Noun, ...]
    men: tuple[Noun, ...]
    women: tuple[Noun, ...]
    his_names: tuple[str, ...]
    her_names: tuple[str, ...]
    places: tuple[Noun, ...]
    stuff: tuple[str, ...]
    personal: tuple[str, ...]
    adjectives: tuple[str, ...]
    strong_verbs: tuple[Verb, ...]
    thing_verbs: tuple[Verb, ...]
    person_verbs: tuple[Verb, ...]
    intransitive: tuple[Verb, ...]
    saying: tuple[Verb, ...]
    knowing: tuple[Verb, ...]

    def forms(self) -> set[str]:
        """Every written form of every word, in lower case."""
        forms: set[str] = set()
        for words in vars(self).values():
            for word in words:
                forms.update(_written(word))
        return {form.lower() for form in forms}


def vocabulary(split: str) -> Vocabulary:
    """The words of `train`, `validation` or `test` (KeyError for another name)."""
    share = SHARES[split]

    def own(entries: list[str]) -> list[str]:
        return [entry for place, entry in enumerate(entries) if place % 5 in share]

    def words(text: str) -> tuple[str, ...]:
        return tuple(own(text.split()))

    def nouns(text: str) -> tuple[Noun, ...]:
        return tuple(_noun(entry) for entry in words(text))

    def verbs(text: str) -> tuple[Verb, ...]:
        # Verbs with objects stand one a line, the others are a running list with commas.
        entries = text.strip().split("," if "," in text else "\n")
        return tuple(_verb(entry) for entry in own(entries))

    return Vocabulary(
        people=nouns(lexicon.PEOPLE),
        men=nouns(lexicon.MEN),
        women=nouns(lexicon.WOMEN),
        his_names=words(lexicon.HIS_NAMES),
        her_names=words(lexicon.HER_NAMES),
        places=nouns(lexicon.PLACES),
        stuff=words(lexicon.STUFF),
        personal=words(lexicon.PERSONAL_ADJECTIVES),
        adjectives=words(lexicon.THING_ADJECTIVES),
        strong_verbs=verbs(lexicon.STRONG_VERBS),
        thing_verbs=verbs(lexicon.THING_VERBS),
        person_verbs=verbs(lexicon.PERSON_VERBS),
        intransitive=verbs(lexicon.INTRANSITIVE_VERBS),
        saying=verbs(lexicon.SAYING_VERBS),
        knowing=verbs(lexicon.KNOWING_VERBS),
    )


def _noun(entry: str) -> Noun:
    """Read `man/men`, or a noun with a regular plural."""
    singular, _, plural = entry.partition("/")
    return Noun(singular, plural or _with_s(singular))


def _verb(entry: str) -> Verb:
    """Read one verb entry; forms that are not written are regular."""
    head, _, objects = entry.partition(":")
    base, *irregular = head.split()
    past = irregular[0] if irregular else _regular_past(base)
    participle = irregular[1] if irregular else past
    gerund = irregular[2] if len(irregular) > 2 else _gerund(base, past)
    return Verb(base, past, participle, gerund, tuple(_noun(word) for word in objects.split()))


def _written(word: str | Noun | Verb) -> set[str]:
    """All forms of a word, and of the nouns it brings along."""
    if isinstance(word, str):
        return {word}
    if isinstance(word, Noun):
        return {*word}
    nouns = {form for noun in word.objects for form in noun}
    return {word.base, word.present(False), word.past, word.participle, word.gerund} | nouns


def _with_s(word: str) -> str:
    """Plural of a regular noun, or third person of a regular verb."""
    if word.endswith(("s", "x", "z", "ch", "sh", "undo")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _regular_past(base: str) -> str:
    """Past tense in -ed."""
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return base + ("d" if base.endswith("e") else "ed")


def _gerund(base: str, past: str) -> str:
    """Form in -ing: double the consonant that the past tense doubles, drop a mute e."""
    if past == base + base[-1] + "ed":
        return base + base[-1] + "ing"
    return base.removesuffix("e") + "ing"
