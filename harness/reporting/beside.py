"""Published figures, each beside what this project measured and forecast of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.published.published import MEAN, Printed, PublishedTable, Reproduced, tasks_of
from harness.reporting.ours import Kind, Ours, Value, mean_of

NEAR = 0.02  # what differs by less from a paper needs no word


@dataclass(frozen=True)
class Beside:
    """One published figure, in the paper's unit.

    Attributes:
        label: what the suite calls the row.
        variant: of the suite's cells, where it has several for one row.
        tasks: those of the figure's tasks that ours is the mean of.
    """

    printed: Printed
    label: str
    variant: str
    measured: Value | None
    forecast: Value | None
    tasks: tuple[str, ...] = ()


def off(ours: Value | None, printed: Printed) -> float | None:
    """Return how far ours, rounded as the paper rounds, is from the paper's, as a share of it.

    Where stages differ and no mean is known it is 0 if the paper's lies between first and last.
    """
    paper = printed.value
    if ours is None or not paper:
        return None
    low, high = sorted((ours.first, ours.last))
    nearest = min(max(paper, low), high) if ours.mean is None else ours.mean
    return round(nearest, printed.digits) / paper - 1


def beside(reproduced: Reproduced, ours: Sequence[Ours]) -> list[Beside]:
    """Return every figure of the table, in its order, with what there is of it.

    A figure of which the suite has several variants stands there once for each.
    """
    found = []
    for printed in reproduced.table.figures:
        label = reproduced.label(printed.method)
        cells = [one for one in ours if one.method == label and _is_of(printed, one)]
        for variant in dict.fromkeys(one.variant for one in cells) or [""]:
            values: dict[Kind, Value | None] = {
                kind: _value(reproduced, printed, ours, variant, kind)
                for kind in ("measured", "forecast")
            }
            tasks = dict.fromkeys(one.task for one in cells if one.variant == variant and one.task)
            found.append(
                Beside(printed, label, variant, values["measured"], values["forecast"],
                       tuple(tasks))
            )  # fmt: skip
    return found


def _is_of(printed: Printed, ours: Ours) -> bool:
    """Tell whether a cell is of the model and one of the tasks of a figure."""
    model = printed.model.rpartition("/")[2]
    same = printed.model in ("", MEAN) or ours.model.lower() == model.lower()
    return same and (not ours.task or ours.task in tasks_of(printed.task))


def _value(
    reproduced: Reproduced, printed: Printed, ours: Sequence[Ours], variant: str, kind: Kind
) -> Value | None:
    """Return the mean of ours over models and tasks; what is relative, to the same of its base."""
    if printed.metric in reproduced.table.unlike:
        return None
    chosen = [one for one in ours if one.kind == kind and one.variant == variant]
    metric, relative = RELATIVE.get(printed.metric, (printed.metric, None))

    def of(method: str) -> Value | None:
        label = reproduced.label(method)
        cells = [one for one in chosen if one.method == label and _is_of(printed, one)]
        return mean_of([one.figures[metric] for one in cells if metric in one.figures])

    value = of(printed.method)
    if relative is None or value is None:
        return value
    return relative(value, printed, reproduced.table, of)


Of = Callable[[str], Value | None]


def _saved(value: Value, printed: Printed, table: PublishedTable, of: Of) -> Value | None:
    """Return how many per cent less it is than without SAFE."""
    share = _share(value, printed, table, of)
    if share is None:
        return None
    mean = None if share.mean is None else 100 * (1 - share.mean)
    return Value(100 * (1 - share.first), 100 * (1 - share.last), mean)


def _share(value: Value, printed: Printed, table: PublishedTable, of: Of) -> Value | None:
    """Return it as a share of what is without SAFE."""
    base = of(printed.method.removesuffix("+safe"))
    return None if base is None else _divided(value, base.first, base.mean or base.first)


def _of_largest(value: Value, printed: Printed, table: PublishedTable, of: Of) -> Value | None:
    """Return it as a share of the largest of the table's rows; all of them must be there."""
    rows = [of(method) for method in table.methods]
    known = [row.first for row in rows if row is not None]
    return _divided(value, max(known), max(known)) if len(known) == len(rows) else None


def _divided(value: Value, by: float, mean_by: float) -> Value | None:
    if not by:
        return None
    mean = None if value.mean is None else value.mean / mean_by
    return replace(value, first=value.first / by, last=value.last / by, mean=mean)


# A published metric that is relative -> the metric that it is of, and to what.
RELATIVE: Mapping[str, tuple[str, Callable[[Value, Printed, PublishedTable, Of], Value | None]]] = {
    "memory_reduction": ("memory", _saved),
    "computation_reduction": ("flops", _saved),
    "train_time": ("runtime", _share),
    "train_time_reduction": ("runtime", _saved),
    "runtime_normalized": ("runtime", _of_largest),
    "flops_normalized": ("flops", _of_largest),
    "params_normalized": ("trainable_params_avg", _of_largest),
}
