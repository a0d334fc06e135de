"""Which records stand in one comparison: one suite, one set of settings, one kind of card.

A folder holds more than its last run: records of overrides that were tried, of a suite's file as it
was before, of another machine. None of them is left away, and none stands among what it does not
compare with. A record that two runs share (an override did not change its cell) stands in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.reporting.group_notes import not_run, replaced
from harness.reporting.groups import Group
from harness.reporting.lacking import comparable

if TYPE_CHECKING:
    from harness.record import Record
    from harness.run_files import Held

# Overrides that choose cells, or say where they find their data: no settings of a comparison.
SELECTING = frozenset(
    {"tasks", "methods", "seeds", "models", "model", "grid", "without", "name", "description",
     "baseline", "assumed", "data_root"}
)  # fmt: skip

Overrides = tuple[tuple[str, str], ...] | None


@dataclass(frozen=True)
class Kind:
    """What all records of a group share.

    Attributes:
        overrides: that changed the suite's file; None: not recorded.
        card: the GPU's name; empty without one.
        age: 0: the records that count; 1 and on: those that later ones of their cells replaced.
    """

    suite: str
    overrides: Overrides
    card: str
    age: int = 0


@dataclass(frozen=True)
class _Candidate:
    """Records that may become a group."""

    kind: Kind
    records: list[Record]
    listed: Mapping[str, Any] | None = None  # the manifest that names them all

    @property
    def members(self) -> frozenset[int]:
        return frozenset(map(id, self.records))


def grouped(folders: Sequence[Held]) -> list[Group]:
    """Sort the records of run folders into groups: what the folders' last runs are about first.

    Every record is in at least one group; the same record from two folders counts once.
    """
    records = _once(record for folder in folders for record in folder.records)
    manifests = [folder.manifest for folder in folders if folder.manifest is not None]
    cards = _cards(records)
    candidates = [each for m in manifests for each in _of_manifest(m, records, cards)]
    listed = {id(record) for each in candidates for record in each.records}
    candidates += _by_overrides(records, listed, cards)
    kept = [
        each
        for number, each in enumerate(candidates)
        if not any(
            each.members < other.members or (each.members == other.members and place < number)
            for place, other in enumerate(candidates)
        )
    ]
    listings = [each for each in candidates if each.listed is not None]
    there = {(record.path, record.key) for record in records}
    asked = {(cell["path"], cell["key"]) for manifest in manifests for cell in manifest["cells"]}
    groups = [_group(each, kept, listings, manifests, asked - there) for each in kept]
    return _named_apart(groups)


def _once(records: Iterable[Record]) -> list[Record]:
    """Leave out what is in two folders: a copy of a record is no second seed."""
    seen: dict[tuple[str, str], list[Record]] = {}
    kept = []
    for record in records:
        same = seen.setdefault((record.path, record.key), [])
        if record not in same:
            same.append(record)
            kept.append(record)
    return kept


def _cards(records: Sequence[Record]) -> dict[int, str]:
    """Return each record's card; one that crashed before it knew has that of its suite's others."""
    known = {id(r): r.environment.gpu.name if r.environment.gpu else ""
             for r in records if r.environment.packages or r.memory}  # fmt: skip
    common: dict[str, Counter[str]] = {}
    for record in records:
        if id(record) in known:
            common.setdefault(record.suite, Counter())[known[id(record)]] += 1
    for record in records:
        if id(record) not in known:
            [(card, _)] = common.get(record.suite, Counter({"": 1})).most_common(1)
            known[id(record)] = card
    return known


def _of_manifest(
    manifest: Mapping[str, Any], records: Sequence[Record], cards: Mapping[int, str]
) -> Iterator[_Candidate]:
    """Yield the manifest's records, a candidate for each card, in the manifest's order.

    The run that wrote the manifest is that of the newest record: its overrides are the group's.
    """
    name = manifest["suite"]["name"]
    places = {(c["path"], c["key"]): n for n, c in enumerate(manifest["cells"])}
    listed = [record for record in records if (record.path, record.key) in places]
    own = {(record.path, record.key) for record in listed if record.suite == name}
    # A suite may list cells that another one has run; what both have run is each one's own.
    listed = [r for r in listed if r.suite == name or (r.path, r.key) not in own]
    by_kind: dict[tuple[str, int], list[Record]] = {}
    ages: Counter[tuple[str, str]] = Counter()
    for record in sorted(listed, key=lambda r: places[r.path, r.key]):
        card = cards[id(record)]
        by_kind.setdefault((card, ages[card, record.path]), []).append(record)
        ages[card, record.path] += 1
    for (card, age), members in by_kind.items():
        newest = max(members, key=lambda record: record.started)
        kind = Kind(name, overrides_of(newest), card, age)
        yield _Candidate(kind, members, manifest if age == 0 else None)


def _by_overrides(
    records: Sequence[Record], listed: set[int], cards: Mapping[int, str]
) -> Iterator[_Candidate]:
    """Yield candidates by suite, overrides and card; of several of one cell each in its own."""
    pools: dict[Kind, list[Record]] = {}
    for record in records:
        kind = Kind(record.suite, overrides_of(record), cards[id(record)])
        pools.setdefault(kind, []).append(record)
    for kind, pool in pools.items():
        ages: Counter[str] = Counter()
        layers: dict[int, list[Record]] = {}
        newest_first = sorted(pool, key=lambda r: r.started, reverse=True)
        for record in sorted(newest_first, key=lambda r: id(r) not in listed):
            layers.setdefault(ages[record.path], []).append(record)
            ages[record.path] += 1
        for age, members in layers.items():
            yield _Candidate(Kind(kind.suite, kind.overrides, kind.card, age), members)


def overrides_of(record: Record) -> Overrides:
    """Return the overrides that set something, the last of each key; None: not recorded."""
    if record.invocation is None:
        return None
    pairs = dict(text.partition("=")[::2] for text in record.invocation.overrides)
    return tuple(sorted((key, value) for key, value in pairs.items() if not _selects(key)))


def _selects(key: str) -> bool:
    top, _, rest = key.partition(".")
    return key in SELECTING or (top in ("model", "grid") and not rest.startswith("train"))


def _group(
    candidate: _Candidate,
    kept: Sequence[_Candidate],
    listings: Sequence[_Candidate],
    manifests: Sequence[Mapping[str, Any]],
    lacking: set[tuple[str, str]],
) -> Group:
    """Name the group by what tells it from the others, and say which of its cells are missing.

    Args:
        candidate: its records.
        kept: all that become groups.
        listings: the candidates that are all of a manifest's records.
        manifests: of all folders.
        lacking: cells of manifests that have no record.
    """
    kind = candidate.kind
    others = [each for each in kept if each is not candidate and each.kind.suite == kind.suite]
    own = [m for m in manifests if m["suite"]["name"] == kind.suite]
    about = [each.listed for each in listings
             if each.listed is not None and each.members <= candidate.members]  # fmt: skip
    suite: Mapping[str, Any] = {"name": kind.suite}
    if own:
        suite = {k: v for k, v in own[0]["suite"].items() if about or k != "assumed"}
    order = {path: n for n, path in enumerate(_paths(about or own))}
    records = sorted(candidate.records, key=lambda r: (order.get(r.path, len(order)), r.started))
    there = {record.path for record in records}
    missing = list(dict.fromkeys(
        cell["path"] for manifest in about for cell in manifest["cells"]
        if (cell["path"], cell["key"]) in lacking and cell["path"] not in there
    ))  # fmt: skip
    return Group(
        name=_name(kind, [each.kind for each in others]),
        suite=suite,
        records=[comparable(record) for record in records],
        halved=[record for record in records if record.is_halved],
        expected=len(there) + len(missing) if about else None,
        notes=[
            *(replaced(records, _later(candidate, others)) if kind.age else []),
            *not_run(missing),
        ],
    )


def _paths(manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    return [cell["path"] for manifest in manifests for cell in manifest["cells"]]


def _name(kind: Kind, others: Sequence[Kind]) -> str:
    told = []
    if any(other.overrides != kind.overrides for other in others):
        if kind.overrides is None:
            told.append("overrides not recorded")
        elif kind.overrides:
            told.append(", ".join(f"{key}={value}" for key, value in kind.overrides))
    if any(other.card != kind.card for other in others):
        told.append(f"on {kind.card or 'a CPU'}")
    if kind.age:
        told.append("earlier records" if kind.age == 1 else f"earlier records, {kind.age}")
    return f"{kind.suite} ({'; '.join(told)})" if told else kind.suite


def _later(candidate: _Candidate, others: Sequence[_Candidate]) -> list[Record]:
    """Return the records that replaced those of a candidate."""
    kind = candidate.kind
    newer = [o for o in others if (o.kind.age, o.kind.card) == (kind.age - 1, kind.card)]
    return [record for each in newer for record in each.records]


def _named_apart(groups: Sequence[Group]) -> list[Group]:
    """Number groups that would have one name: two folders with versions of one suite file."""
    counts: Counter[str] = Counter()
    apart = []
    for group in groups:
        counts[group.name] += 1
        number = counts[group.name]
        apart.append(replace(group, name=f"{group.name}, {number}") if number > 1 else group)
    return apart
