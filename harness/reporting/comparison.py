"""Records to the rows of a comparison: methods against tasks, with what each costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median, stdev

from harness.record import Memory, Record
from harness.units import less_is_better

# The split as the tables print it, from the ledger's categories.
SPLIT = {
    "weights": ("weights.base", "weights.adapter"),
    "gradients": ("gradients",),
    "optimizer": ("optimizer",),
    "activations": ("activations", "temporary", "unsplit"),
    "method": ("method",),
    "inputs": ("inputs",),
}


@dataclass(frozen=True)
class Score:
    """A task's metrics over seeds; `outcomes` counts the cells that did not end well.

    Attributes:
        metric: name of the main one.
        mean: of the main metric; `spread` is its sample standard deviation.
        others: means of the task's other metrics, by name; `other_spreads` as `spread`.
        averaged: what the task adds to an average over tasks.
        lowest: less of the main metric is better.
    """

    metric: str | None
    mean: float | None
    spread: float | None
    others: dict[str, float]
    averaged: float | None
    seeds: int
    outcomes: dict[str, int]
    lowest: bool = False
    other_spreads: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One method on one model, over tasks and seeds. Bytes, counts, fractions.

    Attributes:
        peaks: the largest of each task that has one.
        last: the largest peak of a last phase.
        time_forecast: forecast over measured step time, the median over runs.
        shared: others were on the device meanwhile, so that times are doubtful.
        records: all of them, of any outcome.
    """

    model: str
    method: str
    scores: dict[str, Score]
    average: float | None
    adapter: float | None
    adapter_mean: float | None
    head: int | None
    stored: int | None
    peak: int | None
    peak_task: str | None
    split: dict[str, int]
    forecast: float | None
    time_forecast: float | None
    forward_flops: float | None
    training_flops: float | None
    step_seconds: float | None
    relative_time: float | None
    peaks: dict[str, int] = field(default_factory=dict)
    last: int | None = None
    shared: bool = False
    records: list[Record] = field(default_factory=list, repr=False)


@dataclass(frozen=True)
class Comparison:
    """All rows of a suite and what they have in common."""

    rows: list[Row]
    tasks: list[str]
    baseline: str | None
    records: list[Record]

    @property
    def models(self) -> list[str]:
        """Models in the order of the suite."""
        return list(dict.fromkeys(row.model for row in self.rows))

    def titled(self, model: str, text: str) -> str:
        """Return a table's title, with the model's name before it where there are several."""
        return f"{model}: {text}" if len(self.models) > 1 else text[0].upper() + text[1:]


def compare_methods(records: Sequence[Record], baseline: str | None = None) -> Comparison:
    """Group records by model and method (with grid values); times are relative to `baseline`.

    Without a baseline the method `full` serves, else the first one.
    """
    tasks = list(dict.fromkeys(record.task for record in records))
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.model, record.method), []).append(record)
    names = list(dict.fromkeys(method for _, method in groups))
    base = baseline if baseline in names else "full" if "full" in names else names[0]
    rows = [
        _row(model, method, group, tasks, groups.get((model, base), []))
        for (model, method), group in groups.items()
    ]
    return Comparison(rows, tasks, base, list(records))


def _row(
    model: str, method: str, records: list[Record], tasks: list[str], base: list[Record]
) -> Row:
    good = [record for record in records if record.outcome == "ok"]
    scores = {task: _score([r for r in records if r.task == task]) for task in tasks}
    means = [score.averaged for score in scores.values()]
    whole = [value for value in means if value is not None]
    largest = max(good, key=_peak, default=None)
    memory = largest.memory if largest else None
    parameters = [record.parameters for record in good if record.parameters]
    return Row(
        model=model,
        method=method,
        scores=scores,
        average=mean(whole) if whole and len(whole) == len(means) else None,
        adapter=mean_known(p.adapter_trainable for p in parameters),
        adapter_mean=mean_known(p.adapter_trainable_mean for p in parameters),
        head=max((p.head_trainable for p in parameters), default=None),
        stored=max((p.adapter_stored for p in parameters), default=None),
        peak=memory.peak_training if memory else None,
        peak_task=largest.task if largest else None,
        split=coarse_split(memory) if memory else {},
        forecast=forecast_ratio(largest) if largest else None,
        time_forecast=_median(map(time_ratio, good)),
        forward_flops=mean_known(r.flops.forward for r in good if r.flops),
        training_flops=mean_known(r.flops.training for r in good if r.flops),
        step_seconds=mean_known(r.time.step_median for r in good if r.time),
        relative_time=_relative(good, base, lambda r: r.time.step_median if r.time else None),
        peaks={
            task: max(sizes)
            for task in tasks
            if (sizes := [r.memory.peak_training for r in good if r.task == task and r.memory])
        },
        last=max((r.memory.peak_last_phase for r in good if r.memory), default=None),
        shared=any(record.was_shared for record in good),
        records=records,
    )


def forecast_ratio(record: Record) -> float | None:
    """Return forecast over measured peak allocated; below 1 is an under-estimate."""
    if not record.forecast or not record.forecast.stages or not record.memory:
        return None
    forecast = max(stage.peak_allocated for stage in record.forecast.stages.values())
    return forecast / record.memory.peak_training


def time_ratio(record: Record) -> float | None:
    """Return forecast over measured median step, of the stage that the run begins with."""
    if not record.forecast or not record.forecast.stages:
        return None
    step = next(iter(record.forecast.stages.values())).step
    phases = record.memory.phases if record.memory else []
    measured = phases[0].step_median if phases else None
    measured = measured or (record.time.step_median if record.time else None)
    return step.median / measured if step and measured else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


IMAGE = 1  # the length of an example that has none


def forward_lengths(records: Iterable[Record]) -> list[int | None]:
    """Return the lengths, in tokens, of the examples that forward FLOPs are of.

    IMAGE: it is one; None: unknown.
    """
    return list(dict.fromkeys(r.flops.forward_length for r in records if r.flops))


def coarse_split(memory: Memory) -> dict[str, int]:
    """Return the split at the peak of the phase that has the run's peak, in the table's terms."""
    return coarse(max(memory.phases, key=lambda p: p.peak_allocated).split)


def coarse(split: dict[str, int]) -> dict[str, int]:
    """Return a ledger's split in the tables' terms."""
    return {name: sum(split.get(part, 0) for part in parts) for name, parts in SPLIT.items()}


def _peak(record: Record) -> int:
    return record.memory.peak_training if record.memory else 0


def _score(records: list[Record]) -> Score:
    good = [r for r in records if r.outcome == "ok" and r.main_score is not None]
    values = [r.main_score for r in good if r.main_score is not None]
    # Seeds whose records name other metrics have no mean of them.
    first = list(good[0].reported)[1:] if good else []
    names = [name for name in first if all(name in r.reported for r in good)]
    outcomes: Counter[str] = Counter(r.outcome for r in records if r.outcome != "ok")
    return Score(
        metric=good[0].main_metric if good else None,
        mean=mean(values) if values else None,
        spread=stdev(values) if len(values) > 1 else None,
        others={name: mean(r.reported[name] for r in good) for name in names},
        averaged=mean_known(r.averaged_score for r in good),
        seeds=len(values),
        outcomes=dict(outcomes),
        lowest=any(map(lowest, good)),
        other_spreads={n: stdev(r.reported[n] for r in good) for n in names if len(good) > 1},
    )


def lowest(record: Record) -> bool:
    """Tell whether less of the record's main metric is better."""
    return less_is_better(record.main_metric) if record.lowest is None else record.lowest


def mean_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is known; None where nothing is."""
    numbers = [value for value in values if value is not None]
    return mean(numbers) if numbers else None


def _relative(
    records: list[Record], base: list[Record], figure: Callable[[Record], float | None]
) -> float | None:
    """Return the median ratio to the baseline's cell of the same task, seed and machine."""
    by_pair = {(r.task, r.seed, _machine(r)): figure(r) for r in base if r.outcome == "ok"}
    ratios = []
    for record in records:
        ours = figure(record)
        theirs = by_pair.get((record.task, record.seed, _machine(record)))
        if ours and theirs:
            ratios.append(ours / theirs)
    return median(ratios) if ratios else None


def _machine(record: Record) -> tuple[object, ...]:
    """Return what a time is of: another machine's makes no ratio with it."""
    here = record.environment
    return here.host, here.cpu, here.cores, here.gpu.name if here.gpu else None
