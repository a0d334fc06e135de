"""What is to be known of a comparison beside its tables, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from harness.comparing.moves import Comparison
from harness.comparing.scores import score_rows
from harness.comparing.sides import Side
from harness.comparing.tables import module_name, place_name, short_names
from harness.units import moved, moved_share

NAMED = 6  # cells in a sentence
MACHINE = ("host", "cpu", "cores", "card")
SAME = ("torch", "transformers", "peft", "python", "card", "capability", "meter")


def headline(comparison: Comparison) -> list[str]:
    """Say what is compared and how much of it moved, in three lines."""
    before, after, found = comparison.before, comparison.after, comparison.moved
    num, kind = len(comparison.moves), before.kind
    grown = sum(move.sizes["peak"].moved > 0 for move in found)
    fallen = sum(move.sizes["peak"].moved < 0 for move in found)
    peaks = f"of the {kind} peaks {grown} grew, {fallen} fell, {num - grown - fallen} stayed"
    inside = len(found) - grown - fallen
    other = f" (in {inside} of these something beside the peak moved)" if inside else ""
    return [
        f"before: {before.name}",
        f"after: {after.name}",
        f"{_cells(num)}: {peaks}{other}.{_most(comparison)}",
    ]


def _most(comparison: Comparison) -> str:
    """Name the peak that moved most, for its size."""
    names = short_names(comparison)
    peaks = [(names[move.path], move.sizes["peak"]) for move in comparison.moved]
    name, peak = max(peaks, key=lambda each: abs(each[1].share or 0), default=("", None))
    if peak is None or not peak.moved:
        return ""
    return f" The most: {name} {moved(peak.moved)} ({moved_share(peak.share)})."


def notes(comparison: Comparison) -> list[str]:
    """Return the sentences below the tables."""
    told = [
        _same_environment(comparison),
        _same_settings(comparison),
        _same_bytes(comparison),
        *_renamed(comparison),
        *_one_sided(comparison),
        *_without_figures(comparison),
        *_units(comparison),
        _time(comparison),
        *comparison.before.notes,
        *comparison.after.notes,
    ]
    return [text for text in told if text]


def _same_environment(comparison: Comparison) -> str:
    facts = comparison.same_facts
    named = [f"{name} {facts[name]}" for name in SAME if name in facts]
    more = len(facts) - len(named)
    others = f"{' and ' if named else ''}{more} other facts and packages" if more else ""
    if not comparison.facts:
        return f"The environment is the same as far as it is known: {', '.join(named)}{others}."
    return f"Same on both sides: {', '.join(named)}{others}." if facts else ""


def _same_settings(comparison: Comparison) -> str:
    return "" if comparison.settings else "Settings and batches are the same."


def _same_bytes(comparison: Comparison) -> str:
    names = short_names(comparison)
    same = [names[move.path] for move in comparison.moves if move.is_same]
    return f"The same to the byte: {_listed(same)}." if same else ""


def _renamed(comparison: Comparison) -> list[str]:
    pairs = {
        f"{place_name(old)} is {module_name(new)} now"
        for move in comparison.moves
        for old, new in move.renamed.items()
    }
    return [f"Renamed, with the same bytes: {_listed(sorted(pairs))}."] if pairs else []


def _one_sided(comparison: Comparison) -> list[str]:
    sides = [("before", comparison.only_before), ("after", comparison.only_after)]
    return [
        f"Only {name}, so not compared: {_cells(len(paths))}: {_listed(paths)}."
        for name, paths in sides
        if paths
    ]


def _without_figures(comparison: Comparison) -> list[str]:
    """Say why cells are not compared, the same reason once."""
    cells: dict[tuple[str, str], list[str]] = {}
    for path, (before, after) in comparison.reasons.items():
        if before == after:
            cells.setdefault(("Neither side has", before), []).append(path)
            continue
        for side, reason in (("Before has no", before), ("After has no", after)):
            if reason:
                cells.setdefault((side, reason), []).append(path)
    return [f"{who} figures of {_listed(paths)}: {why}" for (who, why), paths in cells.items()]


def _units(comparison: Comparison) -> list[str]:
    if not comparison.moved:
        return []
    what = {
        "forecast": f"allocated, from the second step on, on {comparison.before.facts.get('card')}",
        "measured": "allocated, of the training phase that needs the most",
    }[comparison.before.kind]
    partly = any(side.least for move in comparison.moved for side in (move.before, move.after))
    limit = (
        " Of a measured peak the largest holders are known; one that one side alone lists counts "
        "from nothing, and what moved in others is elsewhere."
    )
    return [
        f"Peaks: {what}; 1 MiB = 2^20 B, below a tenth of it in bytes. Places sum up the layers "
        "of a model under `*`; categories and places are those at either side's own peak, which "
        f"may be at another moment.{limit if partly else ''}"
    ]


def _time(comparison: Comparison) -> str:
    """Say what a ratio of step times is worth."""
    if not any(row.times for row in score_rows(comparison)):
        return ""
    other = [name for name in MACHINE if name in comparison.facts]
    if other:
        where = f"The machines differ ({', '.join(other)}), so step times compare machines, too"
    elif _unknown(comparison.before) or _unknown(comparison.after):
        where = "Whether the machine is the same is not recorded"
    else:
        where = "Step times are of one machine"
    return (
        f"{where}; what else ran on it is not known. Median of a run's steps, median ratio "
        "over seeds. On two shared cores the same run differs by up to 0.2."
    )


def _unknown(side: Side) -> bool:
    return "host" not in side.facts


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count != 1 else ''}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
