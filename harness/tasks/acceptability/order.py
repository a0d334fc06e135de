"""Phenomena of structure: each function makes a minimal pair about what may stand where."""

from __future__ import annotations

from harness.tasks.acceptability.grammar import PREPOSITIONS, Pair, Speaker


def polarity(s: Speaker) -> Pair:
    """No nurse that the pilot admires has ever slept / *The nurse that no pilot admires has ..."""
    first, slept = s.person(), s.pick(s.words.intransitive).participle
    verb, noun = s.deed()
    kind = s.pick(("ever", "scope", "any", "question"))
    if kind == "ever":
        good, bad = s.pick((("no", "some"), ("no", "the"), ("few", "many")))
        rest = f"{s.person(True)} {s.beside(s.place())} have ever {slept}."
        return Pair(f"{good} {rest}", f"{bad} {rest}")
    if kind == "scope":
        rest = f"{s.person()} {s.pick(s.words.person_verbs).present(False)} has ever {slept}."
        return Pair(f"no {first} that the {rest}", f"the {first} that no {rest}")
    rest = f"{verb.participle} any {noun.plural}"
    if kind == "question":
        return Pair(f"has the {first} {rest}?", f"the {first} has {rest}.")
    good = f"the {first} that has {slept} has not {rest}."
    return Pair(good, f"the {first} that has not {slept} has {rest}.")


def filler_gap(s: Speaker) -> Pair:
    """Mary knew what the boy bought / *bought the lamp; knew that he bought the lamp / *bought."""
    verb, noun = s.deed()
    knew = f"{s.name()} {s.pick(s.words.knowing).past}"
    gap = f"the {s.person()} {verb.past}"
    full = f"{gap} the {noun.singular}"
    kind = s.pick(("clause", "clause", "question", "relative"))
    if kind == "clause":
        goods = f"{knew} what {gap}.", f"{knew} that {full}."
        bads = f"{knew} what {full}.", f"{knew} that {gap}."
        return Pair(s.pick(goods), s.pick(bads))
    if kind == "question":
        start = f"what did the {s.person()} {verb.base}"
        return Pair(f"{start}?", f"{start} the {noun.singular}?")
    other = s.pick([each for each in verb.objects if each != noun]).singular
    rest = f"was {s.pick(s.words.adjectives)}."
    return Pair(f"the {other} that {gap} {rest}", f"the {other} that {full} {rest}")


def argument_structure(s: Speaker) -> Pair:
    """The nurse vanished / *vanished the pilot; the nurse praised the pilot / *praised."""
    doer, done_to = s.subject(), f"the {s.person()}"
    alone, upon = s.pick(s.words.intransitive), s.pick(s.words.person_verbs)
    where = s.beside(s.place())
    kind = s.pick(("bare", "object", "passive"))
    if kind == "bare":
        return Pair(f"{doer} {alone.past} {where}.", f"{doer} {alone.past} {done_to} {where}.")
    if kind == "object":
        return Pair(f"{doer} {upon.past} {done_to} {where}.", f"{doer} {upon.past} {where}.")
    rest = f"by {done_to}."
    return Pair(f"{doer} was {upon.participle} {rest}", f"{doer} was {alone.participle} {rest}")


def island(s: Speaker) -> Pair:
    """What did Mary buy before hiding the key / *buy the key before hiding?"""
    start = f"what did {s.name()}"
    verb, noun = s.deed()
    if s.chance():
        later = s.pick([each for each in s.words.thing_verbs if each != verb])
        when = f"{s.pick(('before', 'after', 'without'))} {later.gerund}"
        good = f"{start} {verb.base} {when} the {s.pick(later.objects).singular}?"
        return Pair(good, f"{start} {verb.base} the {noun.singular} {when}?")
    say, praise = s.pick(s.words.saying).base, s.pick(s.words.person_verbs).base
    rest = f"the {s.person()}"
    return Pair(
        f"{start} {say} that {rest} {verb.past}?", f"{start} {praise} {rest} that {verb.past}?"
    )


def question(s: Speaker) -> Pair:
    """What has the nurse / *What the nurse has stolen? The converse where it is embedded."""
    verb, noun = s.deed()
    kind = s.pick(("does", "matrix", "embedded"))
    if kind == "does":
        plural = s.chance()
        right, wrong = ("do", "does") if plural else ("does", "do")
        person, end = f"the {s.person(plural)}", f"the {noun.singular}?"
        good = f"{right} {person} {verb.base} {end}"
        if s.chance():
            return Pair(good, f"{wrong} {person} {verb.base} {end}")
        return Pair(good, f"{right} {person} {s.pick((verb.present(False), verb.past))} {end}")
    subject, auxiliary = s.subject(), s.pick(("has", "had"))
    wh = s.pick(("what", f"which {noun.singular}"))
    inverted, straight = f"{wh} {auxiliary} {subject}", f"{wh} {subject} {auxiliary}"
    if kind == "matrix":
        return Pair(f"{inverted} {verb.participle}?", f"{straight} {verb.participle}?")
    start = f"{s.name()} {s.pick(s.words.knowing).past}"
    return Pair(f"{start} {straight} {verb.participle}.", f"{start} {inverted} {verb.participle}.")


def comparison(s: Speaker) -> Pair:
    """The nurse is as tall as / *than the pilot; too tired to / *so tired to sleep."""
    adjective, subject = s.pick(s.words.personal), s.subject()
    other, verb = f"the {s.person()}", s.pick(s.words.intransitive)
    kind = s.pick(("as", "less", "too", "so"))
    if kind == "as":
        good, bad = (f"{subject} is as {adjective} {word} {other}." for word in ("as", "than"))
    elif kind == "less":
        good, bad = (f"{subject} is less {adjective} {word} {other}." for word in ("than", "as"))
    elif kind == "too":
        good, bad = (f"{subject} was {word} {adjective} to {verb.base}." for word in ("too", "so"))
    else:
        rest = f"{adjective} that {other} {verb.past}."
        good, bad = (f"{subject} was {word} {rest}" for word in ("so", "too"))
    return Pair(good, bad)


def correlative(s: Speaker) -> Pair:
    """Both the nurse and / *or the pilot slept; neither the nurse nor / *or the pilot slept."""
    first, right = s.pick((("both", "and"), ("either", "or"), ("neither", "nor")))
    wrong = s.pick([link for link in ("and", "or", "nor") if link != right])
    left, other, verb = f"the {s.person()}", f"the {s.person()}", s.pick(s.words.person_verbs).past
    if s.chance():
        start, end = f"{first} {left}", f"{other} {s.pick(s.words.intransitive).past}."
    else:
        start, end = f"{s.name()} {verb} {first} {left}", f"{other}."
    return Pair(f"{start} {right} {end}", f"{start} {wrong} {end}")


def word_order(s: Speaker) -> Pair:
    """The tired nurse / *The nurse tired has not slept; has not / *not has slept."""
    person, slept = s.person(s.chance()), s.pick(s.words.intransitive).past
    kind = s.pick(("adjective", "negation", "preposition", "determiner"))
    if kind == "adjective":
        tired = s.pick(s.words.personal)
        return Pair(f"the {tired} {person} {slept}.", f"the {person} {tired} {slept}.")
    if kind == "negation":
        start, end = s.subject(), f"{s.pick(s.words.intransitive).participle}."
        return Pair(f"{start} has not {end}", f"{start} not has {end}")
    if kind == "preposition":
        near, start, place = s.pick(PREPOSITIONS), f"the {person} {slept}", f"the {s.place()}"
        return Pair(f"{start} {near} {place}.", f"{start} {place} {near}.")
    verb, noun = s.deed()
    start = f"the {person} {verb.past}"
    return Pair(f"{start} the {noun.singular}.", f"{start} {noun.singular} the.")
