"""Phenomena of form: each function makes a minimal pair that differs in one inflected word.

Across pairs every function word stands in good and bad sentences alike, so that (but for
`irregular_past`) no single word gives the label away.
"""

from __future__ import annotations

from harness.tasks.acceptability.grammar import ADVERBS, PREPOSITIONS, Pair, Speaker

CASES = (("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"), ("I", "me"))
NUMBERS = (("this", "these"), ("that", "those"), ("every", "several"), ("one", "two"))
AMOUNTS = (
    ("too many", "too much"),
    ("so many", "so much"),
    ("as many", "as much"),
    ("a large number of", "a large amount of"),
    ("how many", "how much"),
)


def subject_agreement(s: Speaker) -> Pair:
    """The nurses (near the bridge | that the pilot admires) are / *is tired."""
    plural = s.chance()
    right, wrong = s.predicate(plural)
    start = f"the {s.person(plural)}"
    kind = s.pick(("near", "phrase", "clause"))
    if kind == "phrase":
        start += f" {s.beside(s.place(not plural))}"
    elif kind == "clause":
        verb, other = s.pick(s.words.person_verbs), f"the {s.person(not plural)}"
        whose = f"{other} {verb.present(not plural)}", f"{verb.present(plural)} {other}"
        start += f" that {s.pick(whose)}"
    return Pair(f"{start} {right}.", f"{start} {wrong}.")


def reflexive_number(s: Speaker) -> Pair:
    """The nurses (beside the pilot) blamed themselves / *herself."""
    plural = s.chance()
    one = s.pick(("himself", "herself"))
    own, other = ("themselves", one) if plural else (one, "themselves")
    near = f" {s.beside(s.person(not plural))}" if s.chance() else ""
    start = f"the {s.person(plural)}{near} {s.pick(s.words.person_verbs).past}"
    return Pair(f"{start} {own}.", f"{start} {other}.")


def reflexive_gender(s: Speaker) -> Pair:
    """Anna (said that the king) blamed herself / *himself, the nearest subject being the one."""
    female = s.chance()
    own, other = ("herself", "himself") if female else ("himself", "herself")
    start = s.gendered(female)
    kind = s.pick(("near", "phrase", "clause"))
    if kind == "phrase":
        start = f"the {s.kin(female)} {s.pick(PREPOSITIONS)} {s.gendered(not female)}"
    elif kind == "clause":
        start = f"{s.gendered(not female)} {s.pick(s.words.saying).past} that {start}"
    start += f" {s.pick(s.words.person_verbs).past}"
    return Pair(f"{start} {own}.", f"{start} {other}.")


def determiner_number(s: Speaker) -> Pair:
    """Maria sold these / *this old lamps."""
    plural = s.chance()
    verb, noun = s.deed()
    one, many = s.pick(NUMBERS)
    right, wrong = (many, one) if plural else (one, many)
    adjective = f"{s.pick(s.words.adjectives)} " if s.chance() else ""
    start = f"{s.subject()} {verb.past}"
    good = f"{start} {right} {adjective}{noun.form(plural)}."
    if s.chance():
        return Pair(good, f"{start} {wrong} {adjective}{noun.form(plural)}.")
    return Pair(good, f"{start} {right} {adjective}{noun.form(not plural)}.")


def quantity(s: Speaker) -> Pair:
    """The nurse has too many lamps / *rice; the nurse has too much rice / *lamps."""
    things, stuff = s.deed()[1].plural, s.pick(s.words.stuff)
    countable = s.chance()
    many, much = s.pick(AMOUNTS)
    right, wrong = (many, much) if countable else (much, many)
    noun, other = (things, stuff) if countable else (stuff, things)
    subject = s.subject()
    start, end = f"{subject} has ", "."
    if many == "how many":
        start, end = "", f" does {subject} have?"
    elif many == "as many":
        end = f" as the {s.person()}."
    if s.chance():
        return Pair(f"{start}{right} {noun}{end}", f"{start}{wrong} {noun}{end}")
    return Pair(f"{start}{right} {noun}{end}", f"{start}{right} {other}{end}")


def pronoun_case(s: Speaker) -> Pair:
    """The nurse praised him / *he; Mary said that he / *him slept."""
    subject, other = s.pick(CASES)
    alone = s.pick(s.words.intransitive)
    upon = s.pick(s.words.person_verbs).past
    kind = s.pick(("subject", "clause", "object", "let"))
    if kind == "subject":
        rest = f"{upon} the {s.person(s.chance())}."
        return Pair(f"{subject} {rest}", f"{other} {rest}")
    if kind == "clause":
        start = f"{s.subject()} {s.pick(s.words.saying).past} that"
        return Pair(f"{start} {subject} {alone.past}.", f"{start} {other} {alone.past}.")
    if kind == "object":
        start, where = f"{s.subject()} {upon}", s.beside(s.place())
        return Pair(f"{start} {other} {where}.", f"{start} {subject} {where}.")
    start = f"the {s.person(s.chance())} did not let"
    return Pair(f"{start} {other} {alone.base}.", f"{start} {subject} {alone.base}.")


def verb_form(s: Speaker) -> Pair:
    """The nurse has often repaired / *repair the lamp; the vase was broken / *broke by her."""
    verb, noun = s.deed()
    subject, thing = s.subject(), f"the {noun.singular}"
    if s.chance(0.2):
        verb = s.pick(s.words.strong_verbs)
        start, end = f"the {s.pick(verb.objects).singular} was", f"by {subject}."
        return Pair(f"{start} {verb.participle} {end}", f"{start} {verb.past} {end}")
    perfect, wrong_perfect = verb.participle, s.pick((verb.base, verb.gerund))
    bare, wrong_bare = verb.base, s.pick((verb.participle, verb.gerund))
    auxiliary, right, wrong = s.pick(
        (
            ("has", perfect, wrong_perfect),
            ("had", perfect, wrong_perfect),
            ("will", bare, wrong_bare),
            ("should", bare, wrong_bare),
            ("did not", bare, s.pick((verb.past, verb.gerund))),
            ("was", verb.gerund, s.pick((verb.base, verb.present(False)))),
        )
    )
    adverb = f" {s.pick(ADVERBS)}" if s.chance(0.3) and auxiliary != "did not" else ""
    start = f"{subject} {auxiliary}{adverb}"
    return Pair(f"{start} {right} {thing}.", f"{start} {wrong} {thing}.")


def irregular_past(s: Speaker) -> Pair:
    """The nurse broke / *breaked / *broken the vase."""
    verb = s.pick(s.words.strong_verbs)
    wrong = s.pick((verb.participle, verb.regular_past(), verb.regular_past()))
    subject, noun = s.subject(), s.pick(verb.objects).singular
    return Pair(f"{subject} {verb.past} the {noun}.", f"{subject} {wrong} the {noun}.")
