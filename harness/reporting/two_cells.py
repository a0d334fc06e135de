"""One cell against another: what came and what went, of bytes and of seconds, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.forecasting.against import Against, Moved, Where, coarse
from harness.forecasting.explain import HELPS, Remedy, need_of
from harness.forecasting.result import Forecast
from harness.reporting.chosen import choices_of
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.explained import file_notes, time_notes
from harness.reporting.forecasts import fit_text, without_common_parts
from harness.reporting.layers import layer_text
from harness.timing.bar import rule
from harness.units import Unit, milliseconds, unit_for

NUM_MOVED = 12  # rows of what came, and of what went
LONGEST = 20  # characters of a cell's name above a column


@dataclass(frozen=True)
class _Pair:
    """A figure of both cells."""

    name: str
    ours: float
    theirs: float


def against_tables(found: Against) -> list[Table[Any]]:
    """Return bytes by category, what came, what went, and a step's time on each card."""
    names, peaks = _names(found), [remedy.step.peak_allocated for remedy in found.steps]
    unit, headers = unit_for(peaks), _headers(names)
    ours, theirs = found.steps
    reached = f"{ours.step.peak_mark} and {theirs.step.peak_mark}"
    said = " against ".join(f"{n} ({h})" if n != h else n
                            for n, h in zip(names, headers, strict=True))  # fmt: skip
    title = f"{said}: {unit.name} at the peaks, reached in {reached}"
    tables: list[Table[Any]] = [Table(title, _pair_columns(headers, unit), list(_split(found)))]
    for said, rows in (("came", found.came), ("went", found.went)):
        if rows:
            named = _named(rows, HELPS * max(peaks))
            shown = [*named, *_rest(rows[len(named) :])]
            tables.append(Table(f"What {said}, {unit.name}", _moved_columns(headers, unit), shown))
    for card in found.cards:
        times = list(_times(*(remedy.by_gpu[card.name] for remedy in found.steps)))
        if times:
            tables.append(Table(f"A step on {card.name}, ms", _time_columns(headers), times))
    return tables


def against_notes(found: Against) -> list[str]:
    """Say what differs between the cells, what they need, and where their layers are written."""
    names = _names(found)
    notes = []
    for name, remedy in zip(names, found.steps, strict=True):
        verdicts = ", ".join(f"{gpu}: {fit_text(each)}" for gpu, each in remedy.by_gpu.items())
        notes.append(f"{name} on {verdicts}.")
        notes += time_notes(name, remedy.by_gpu)
    first, second = (dict(choices_of(list(remedy.by_gpu.values()))) for remedy in found.steps)
    differ = [
        f"{key} {first.get(key, '-')} and {second.get(key, '-')}"
        for key in dict.fromkeys((*first, *second))
        if first.get(key) != second.get(key)
    ]
    if differ:
        notes.append(f"They differ in: {'; '.join(differ)}.")
    notes.append(
        "Peaks: allocated in training. What one cell alone has stands at the module around it; of "
        "two layers in one place the other cell's stands behind `for`. 1 GiB = 2^30 B."
    )
    least = HELPS * max(remedy.step.peak_allocated for remedy in found.steps)
    named = [*_named(found.came, least), *_named(found.went, least)]
    if any(e.step_time for remedy in found.steps for e in remedy.by_gpu.values()):
        notes.append(rule())
    return notes + file_notes([name for one in named for name in one.classes])


def against_data(found: Against) -> dict[str, Any]:
    """Return all of it for `--json`; bytes and seconds."""

    def told(cell: str, remedy: Remedy) -> dict[str, Any]:
        return {
            "cell": cell,
            "peak_mark": remedy.step.peak_mark,
            "need": need_of(remedy.step),
            "by_gpu": {gpu: e.model_dump(mode="json") for gpu, e in remedy.by_gpu.items()},
        }

    cells = [told(c.path, remedy) for c, remedy in zip(found.cells, found.steps, strict=True)]
    moved = [
        {**one.where._asdict(), "classes": list(one.classes), "ours": one.ours,
         "theirs": one.theirs, "more": one.more}
        for one in found.moved
    ]  # fmt: skip
    return {"ours": cells[0], "theirs": cells[1], "moved": moved}


def _names(found: Against) -> list[str]:
    """Return what the cells are called in a sentence."""
    short, _ = without_common_parts([cell.path for cell in found.cells])
    return [short[cell.path] for cell in found.cells]


def _headers(names: Sequence[str]) -> list[str]:
    """Return what the cells are called above columns: long names would make them wide."""
    return list(names) if max(map(len, names)) <= LONGEST else ["A", "B"]


def _split(found: Against) -> Iterator[_Pair]:
    """Yield the categories that one of the peaks has, and the peaks."""
    ours, theirs = (remedy.step for remedy in found.steps)
    first, second = Counter[str](), Counter[str]()
    for split, sums in ((ours.split, first), (theirs.split, second)):
        for name, size in split.items():
            sums[coarse(name)] += size
    for name in {**first, **second}:
        if first[name] or second[name]:
            yield _Pair(name, first[name], second[name])
    yield _Pair("peak", ours.peak_allocated, theirs.peak_allocated)


def _named(rows: Sequence[Moved], least: float) -> list[Moved]:
    """Return the rows that a table has for themselves, of a list that begins with the largest."""
    return [one for one in rows[:NUM_MOVED] if abs(one.more) >= least]


def _rest(rows: Sequence[Moved]) -> list[Moved]:
    """Return one row for all that is too little to be named."""
    if not rows:
        return []
    where = Where("", "everything else", "")
    return [Moved(where, ("", ""), sum(r.ours for r in rows), sum(r.theirs for r in rows))]


def _times(ours: Forecast, theirs: Forecast) -> Iterator[_Pair]:
    """Yield the parts of a step, the whole, and what host and device work on it, in ms."""
    first, second = ours.step_time, theirs.step_time
    if first is None or second is None:
        return
    for part in dict.fromkeys((*first.parts, *second.parts)):
        yield _Pair(part, first.parts.get(part, 0.0), second.parts.get(part, 0.0))
    yield _Pair("step", first.seconds, second.seconds)
    yield _Pair("of which the host works", first.host, second.host)
    yield _Pair("of which the device works", first.device, second.device)


def _signed(value: float, show: Any) -> str:
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{show(abs(value))}"


def _pair_columns(names: Sequence[str], unit: Unit) -> list[Column[_Pair]]:
    return [
        words("what", lambda pair: pair.name),
        number(names[0], lambda pair: pair.ours, unit.show, f"{names[0]} (B)"),
        number(names[1], lambda pair: pair.theirs, unit.show, f"{names[1]} (B)"),
        number("more", lambda pair: pair.ours - pair.theirs,
               lambda more: _signed(more, unit.show), "more (B)"),
    ]  # fmt: skip


def _moved_columns(names: Sequence[str], unit: Unit) -> list[Column[Moved]]:
    return [
        words("where", lambda one: one.where.place or "(outside of modules)"),
        words("layer", _layer),
        words("what", lambda one: one.where.category),
        words("made by", lambda one: one.where.op.removeprefix("aten::")),
        number(names[0], lambda one: one.ours, unit.show, f"{names[0]} (B)"),
        number(names[1], lambda one: one.theirs, unit.show, f"{names[1]} (B)"),
        number("more", lambda one: one.more, lambda more: _signed(more, unit.show), "more (B)"),
    ]


def _layer(one: Moved) -> str:
    ours, theirs = map(layer_text, one.classes)
    return ours if ours == theirs else f"{ours} for {theirs}"


def _time_columns(names: Sequence[str]) -> list[Column[_Pair]]:
    return [
        words("what", lambda pair: pair.name),
        number("ratio", lambda pair: pair.ours / pair.theirs if pair.theirs else None,
               lambda share: "-" if share is None else f"{share:.2f}", "ratio"),
        number(names[0], lambda pair: pair.ours, milliseconds, f"{names[0]} (s)"),
        number(names[1], lambda pair: pair.theirs, milliseconds, f"{names[1]} (s)"),
        number("more", lambda pair: pair.ours - pair.theirs,
               lambda more: _signed(more, milliseconds), "more (s)"),
    ]  # fmt: skip
