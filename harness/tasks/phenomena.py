"""The phenomena of the acceptability task: each function makes one minimal pair.

The two sentences of a pair differ in a word or in word order, and across pairs every function
word stands in good and bad sentences alike, so that no single word gives the label away.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.tasks.grammar import ADVERBS, PREPOSITIONS, Pair, Speaker

CASES = (("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"), ("I", "me"))


def agreement_across_phrase(s: Speaker) -> Pair:
    """The nurses near the bridge are / *is tired."""
    plural = s.chance()
    nearer = plural if s.chance(0.2) else not plural
    noun = s.place(nearer) if s.chance() else s.person(nearer)
    right, wrong = s.predicate(plural)
    start = f"the {s.person(plural)} {s.beside(noun)}"
    return Pair(f"{start} {right}.", f"{start} {wrong}.")


def agreement_across_clause(s: Speaker) -> Pair:
    """The nurses that the pilot admires are / *is tired; the nurses that admire / *admires him ..."""
    plural = s.chance()
    outer, inner = s.person(plural), s.person(not plural)
    verb = s.pick(s.words.person_verbs)
    right, wrong = s.predicate(plural)
    if s.chance(0.3):
        forms = verb.present(plural), verb.present(not plural)
        good, bad = (f"the {outer} that {form} the {inner} {right}." for form in forms)
        return Pair(good, bad)
    if s.chance():
        start = f"the {outer} that the {inner} {verb.present(not plural)}"
    else:
        start = f"the {outer} that {verb.present(plural)} the {inner}"
    return Pair(f"{start} {right}.", f"{start} {wrong}.")


def reflexive_gender(s: Speaker) -> Pair:
    """Anna said that the king blamed himself / *herself."""
    female = s.chance()
    own, other = ("herself", "himself") if female else ("himself", "herself")
    doer, bystander = s.gendered(female), s.gendered(not female)
    verb = s.pick(s.words.person_verbs).past
    if s.chance(0.4):
        start = f"{bystander} {s.pick(s.words.saying).past} that {doer} {verb}"
    elif s.chance():
        kin = s.pick(s.words.women if female else s.words.men).singular
        start = f"the {kin} {s.pick(PREPOSITIONS)} {bystander} {verb}"
    else:
        start = f"{doer} {verb} {bystander} and {s.pick(s.words.person_verbs).past}"
    return Pair(f"{start} {own}.", f"{start} {other}.")


def reflexive_number(s: Speaker) -> Pair:
    """The nurses beside the pilot blamed themselves / *herself."""
    plural = s.chance()
    one = s.pick(("himself", "herself"))
    own, other = ("themselves", one) if plural else (one, "themselves")
    inner = s.person(not plural)
    verb = s.pick(s.words.person_verbs).past
    if s.chance():
        middle = s.beside(inner)
    else:
        middle = f"that the {inner} {s.pick(s.words.person_verbs).past}"
    start = f"the {s.person(plural)} {middle} {verb}"
    return Pair(f"{start} {own}.", f"{start} {other}.")


def determiner_number(s: Speaker) -> Pair:
    """Maria sold these / *this old lamps; every nurse / *nurses slept."""
    plural = s.chance()
    verb, noun = s.deed()
    ones, many = s.pick(
        (("this", "these"), ("that", "those"), ("every", "several"), ("one", "two"))
    )
    right, wrong = (many, ones) if plural else (ones, many)
    adjective = s.pick(s.words.adjectives)
    start = f"{s.subject()} {verb.past}"
    good = f"{start} {right} {adjective} {noun.form(plural)}."
    if s.chance():
        return Pair(good, f"{start} {wrong} {adjective} {noun.form(plural)}.")
    return Pair(good, f"{start} {right} {adjective} {noun.form(not plural)}.")


def polarity(s: Speaker) -> Pair:
    """No nurse that the pilot admires has ever slept / *The nurse that no pilot admires has ever ..."""
    first, second = s.person(), s.person()
    admires = s.pick(s.words.person_verbs).present(False)
    slept = s.pick(s.words.intransitive).participle
    verb, noun = s.deed()
    kind = s.pick(("ever", "scope", "any", "question"))
    if kind == "ever":
        good, bad = s.pick((("no", "some"), ("no", "the"), ("few", "many")))
        rest = f"{s.person(True)} {s.beside(s.place())} have ever {slept}."
        return Pair(f"{good} {rest}", f"{bad} {rest}")
    if kind == "scope":
        rest = f"{second} {admires} has ever {slept}."
        return Pair(f"no {first} that the {rest}", f"the {first} that no {rest}")
    if kind == "question":
        start = f"the {first}"
        rest = f"{verb.participle} any {noun.plural}"
        return Pair(f"has {start} {rest}?", f"{start} has {rest}.")
    did, done = f"has not {slept}", f"has {slept}"
    rest = f"{verb.participle} any {noun.plural}."
    return Pair(
        f"the {first} that {done} has not {rest}",
        f"the {first} that {did} has {rest}",
    )


def filler_gap(s: Speaker) -> Pair:
    """Mary knew what / *that the boy bought; Mary knew that / *what the boy bought the lamp."""
    verb, noun = s.deed()
    knew = f"{s.name()} {s.pick(s.words.knowing).past}"
    clause = f"the {s.person()} {verb.past}"
    full = f"{clause} the {noun.singular}"
    kind = s.pick(("what", "that", "both", "relative"))
    if kind == "what":
        return Pair(f"{knew} what {clause}.", f"{knew} what {full}.")
    if kind == "that":
        return Pair(f"{knew} that {full}.", f"{knew} that {clause}.")
    if kind == "both":
        return s.pick(
            (
                Pair(f"{knew} what {clause}.", f"{knew} that {clause}."),
                Pair(f"{knew} that {full}.", f"{knew} what {full}."),
            )
        )
    other = s.pick([each for each in verb.objects if each != noun])
    rest = f"was {s.pick(s.words.adjectives)}."
    return Pair(
        f"the {other.singular} that {clause} {rest}", f"the {other.singular} that {full} {rest}"
    )


def argument_structure(s: Speaker) -> Pair:
    """The nurse vanished / *vanished the pilot; the nurse praised the pilot / *praised."""
    doer, done_to = s.subject(), s.person()
    alone = s.pick(s.words.intransitive)
    upon = s.pick(s.words.person_verbs)
    where = s.beside(s.place())
    kind = s.pick(("bare", "object", "passive", "verb"))
    if kind == "bare":
        return Pair(f"{doer} {alone.past} {where}.", f"{doer} {alone.past} the {done_to} {where}.")
    if kind == "object":
        return Pair(f"{doer} {upon.past} the {done_to} {where}.", f"{doer} {upon.past} {where}.")
    if kind == "passive":
        rest = f"by the {done_to}."
        return Pair(f"{doer} was {upon.participle} {rest}", f"{doer} was {alone.participle} {rest}")
    good, bad = s.pick(((alone, upon), (upon, alone)))
    rest = where if good is alone else f"the {done_to} {where}"
    return Pair(f"{doer} {good.past} {rest}.", f"{doer} {bad.past} {rest}.")


def verb_form(s: Speaker) -> Pair:
    """The nurse has often repaired / *repair the lamp."""
    verb, noun = s.deed()
    auxiliary, right, wrong = s.pick(
        (
            ("has", verb.participle, s.pick((verb.base, verb.gerund))),
            ("had", verb.participle, s.pick((verb.base, verb.gerund))),
            ("will", verb.base, s.pick((verb.participle, verb.gerund))),
            ("should", verb.base, s.pick((verb.participle, verb.gerund))),
            ("did not", verb.base, s.pick((verb.past, verb.gerund))),
            ("was", verb.gerund, s.pick((verb.base, verb.present(False)))),
        )
    )
    adverb = f" {s.pick(ADVERBS)}" if s.chance() and auxiliary != "did not" else ""
    start = f"{s.subject()} {auxiliary}{adverb}"
    return Pair(f"{start} {right} the {noun.singular}.", f"{start} {wrong} the {noun.singular}.")


def participle(s: Speaker) -> Pair:
    """The nurse broke / *broken the vase; the vase was broken / *broke by the nurse."""
    verb = s.pick(s.words.strong_verbs)
    noun = s.pick(verb.objects).singular
    subject = s.subject()
    kind = s.pick(("past", "past", "perfect", "passive"))
    if kind == "past":
        return Pair(
            f"{subject} {verb.past} the {noun}.", f"{subject} {verb.participle} the {noun}."
        )
    if kind == "perfect":
        start = f"{subject} has {s.pick(ADVERBS)}" if s.chance() else f"{subject} has"
        return Pair(f"{start} {verb.participle} the {noun}.", f"{start} {verb.past} the {noun}.")
    start, end = f"the {noun} was", f"by {subject}."
    return Pair(f"{start} {verb.participle} {end}", f"{start} {verb.past} {end}")


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


def island(s: Speaker) -> Pair:
    """What did Mary buy before hiding the key / *buy the key before hiding?"""
    name, person = s.name(), s.person()
    verb, noun = s.deed()
    if s.chance():
        later = s.pick([each for each in s.words.thing_verbs if each != verb])
        link = s.pick(("before", "after", "without"))
        thing = s.pick(later.objects).singular
        return Pair(
            f"what did {name} {verb.base} {link} {later.gerund} the {thing}?",
            f"what did {name} {verb.base} the {noun.singular} {link} {later.gerund}?",
        )
    say, praise = s.pick(s.words.saying).base, s.pick(s.words.person_verbs).base
    return Pair(
        f"what did {name} {say} that the {person} {verb.past}?",
        f"what did {name} {praise} the {person} that {verb.past}?",
    )


def quantity(s: Speaker) -> Pair:
    """The nurse has too many lamps / *rice; the nurse has too much rice / *lamps."""
    things, stuff = s.thing().plural, s.pick(s.words.stuff)
    countable = s.chance()
    many, much = s.pick(
        (
            ("too many", "too much"),
            ("so many", "so much"),
            ("as many", "as much"),
            ("a large number of", "a large amount of"),
            ("how many", "how much"),
        )
    )
    right, wrong = (many, much) if countable else (much, many)
    noun, other = (things, stuff) if countable else (stuff, things)
    subject = s.subject()
    if many == "how many":
        start, end = "", f" does {subject} have?"
    elif many == "as many":
        start, end = f"{subject} has ", f" as the {s.person()}."
    else:
        start, end = f"{subject} has ", f" {s.beside(s.place())}."
    if s.chance():
        return Pair(f"{start}{right} {noun}{end}", f"{start}{wrong} {noun}{end}")
    return Pair(f"{start}{right} {noun}{end}", f"{start}{right} {other}{end}")


def question(s: Speaker) -> Pair:
    """What has the nurse stolen? / *What the nurse has stolen? and the converse when embedded."""
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
    subject, aux = s.subject(), s.pick(("has", "had"))
    wh = s.pick(("what", f"which {noun.singular}"))
    inverted, straight = f"{wh} {aux} {subject}", f"{wh} {subject} {aux}"
    if kind == "matrix":
        return Pair(f"{inverted} {verb.participle}?", f"{straight} {verb.participle}?")
    start = f"{s.name()} {s.pick(s.words.knowing).past}"
    return Pair(f"{start} {straight} {verb.participle}.", f"{start} {inverted} {verb.participle}.")


def comparison(s: Speaker) -> Pair:
    """The nurse is as tall as / *than the pilot; too tired to / *that ..."""
    adjective, subject = s.pick(s.words.personal), s.subject()
    other = f"the {s.person()}"
    verb = s.pick(s.words.intransitive)
    kind = s.pick(("as", "less", "too", "so"))
    if kind in ("as", "less"):
        end = {"as": ("as", "than"), "less": ("than", "as")}[kind]
        good, bad = (f"{subject} is {kind} {adjective} {word} {other}." for word in end)
    elif kind == "too":
        good, bad = (f"{subject} was {word} {adjective} to {verb.base}." for word in ("too", "so"))
    else:
        rest = f"{adjective} that {other} {verb.past}."
        good, bad = (f"{subject} was {word} {rest}" for word in ("so", "too"))
    return Pair(good, bad)


PHENOMENA: dict[str, Callable[[Speaker], Pair]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        agreement_across_phrase,
        agreement_across_clause,
        reflexive_gender,
        reflexive_number,
        determiner_number,
        polarity,
        filler_gap,
        argument_structure,
        verb_form,
        participle,
        pronoun_case,
        island,
        quantity,
        question,
        comparison,
    )
}
