"""A side made of the records of a run folder."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.comparing.sides import Figures, Side, listed, together
from harness.record import Memory, Record
from harness.store import Store
from harness.suite.batches import ran
from harness.untrusted import WRONG, said

# Of a cell: who it is stands in its path, and how it is kept tells nothing.
UNSAID = frozenset({"suite", "seed", "train.checkpoint"})


def read_runs(folder: Path) -> Side:
    """Return the side that a run folder is, by all records there.

    A cell that is there with several settings is called by its path as the last run had it; the
    others have their key beside it.

    Raises:
        UserError: the folder holds no run.
    """
    held = Store(folder).held()
    cells: dict[str, Figures] = {}
    for record in held.records:
        cells[_name(record, cells)] = _figures(record)
    notes = []
    for each in held.left_out:
        cells.setdefault(each.path, Figures(reason=f"left out: {each.reason}"))
        notes.append(f"{folder}: a record of {each.path} is left out: {each.reason}")
    commands = [record.invocation.command for record in held.records if record.invocation]
    notes += [f"{folder} comes from: {command}" for command in dict.fromkeys(commands)]
    return Side(str(folder), "measured", _facts(held.records), cells, tuple(notes))


def _name(record: Record, taken: Container[str]) -> str:
    if record.path not in taken:
        return record.path
    cell, _, seed = record.path.rpartition("/")
    return f"{cell} [{record.key}]/{seed}"


def _facts(records: Sequence[Record]) -> dict[str, str]:
    """Return what the records say of where they were made, the packages first."""
    described = [_described(record) for record in records]
    names = dict.fromkeys(name for facts in described for name in facts)
    return {name: together(facts.get(name) for facts in described) for name in names}


def _described(record: Record) -> dict[str, str]:
    here = record.environment
    facts = {**here.packages, **{f"plug-in {k}": v for k, v in here.plugins.items()}}
    facts |= {"python": here.python, "platform": here.platform, "cpu": here.cpu}
    facts |= {"cores": str(here.cores or ""), "host": here.host, **here.variables}
    if here.gpu:
        facts |= {"card": here.gpu.name, "cuda": here.gpu.cuda or ""}
    if here.git:
        facts["code"] = here.git.commit[:12] + ("+dirty" if here.git.dirty else "")
    if record.memory:
        facts["meter"] = record.memory.meter
    return {name: value for name, value in facts.items() if value}


def _figures(record: Record) -> Figures:
    settings = _settings(record)
    try:
        if record.outcome != "ok" or record.memory is None:
            said_so = f": {record.message}" if record.message else ""
            return Figures(settings, reason=f"{record.outcome}{said_so}")
        if record.is_halved:
            why = f"it ran as {ran(record)} for want of memory, not as {record.asked_batches}"
            return Figures(settings, reason=why)
        return _measured(record, record.memory, settings)
    except WRONG as error:
        return Figures(settings, reason=f"no peak can be read in its record: {said(error)}")


def _measured(record: Record, memory: Memory, settings: Mapping[str, str]) -> Figures:
    phase = max(memory.phases, key=lambda p: p.peak_allocated)
    places, least = listed(
        phase.peak_allocated,
        (
            (str(each["category"]), str(each["path"]), int(each["num_bytes"]))
            for each in phase.holders
        ),
    )
    sizes = {
        "peak": phase.peak_allocated,
        "reserved": phase.peak_reserved,
        "at rest": phase.at_rest,
        "evaluation": memory.peak_evaluation,
    }
    return Figures(
        settings=settings,
        sizes={name: size for name, size in sizes.items() if size is not None},
        part=max(phase.peaks, key=lambda part: phase.peaks[part], default=""),
        split=phase.split,
        places=places,
        least=least,
        metric=record.main_metric,
        score=record.main_score,
        step_seconds=record.time.step_median if record.time else None,
    )


def _settings(record: Record) -> dict[str, str]:
    facts = {name: value for name, value in _flat(record.cell) if name not in UNSAID}
    if record.data:
        facts |= {"data": record.data.source, "data, sha256": record.data.fingerprint[:12]}
        facts["training rows"] = str(record.data.train_rows)
    if record.provenance:
        pins = record.provenance.model_dump(exclude_none=True)
        facts |= {f"model, {name}": _text(value) for name, value in pins.items()}
    return facts


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(inner)


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
