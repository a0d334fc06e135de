"""The figures of what analyses found, and of adapters one layer at a time (SAFE's Fig. 2, 3, 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from harness.record import Record
from harness.reporting.figures.by_layer import ByLayer, one_at_a_time
from harness.reporting.figures.flatness import Plane, eigenvalues, planes
from harness.reporting.figures.froze import froze
from harness.reporting.figures.one_model import measured
from harness.reporting.figures.similarity import Similarity, similarities
from harness.units import is_fraction

if TYPE_CHECKING:
    from harness.reporting.comparison import Row
    from harness.reporting.figures.figure import Figure
    from harness.reporting.figures.one_model import OneModel

MOST = 12  # panels in one figure


def analysis_figures(one: OneModel) -> list[Figure]:
    """Return what there is to draw of a model's analyses; of one not known here, nothing."""
    makers: Sequence[Callable[[OneModel, str], Iterator[Figure]]] = (
        _one_layer, _cka, _hessian, _landscape,
    )  # fmt: skip
    tasks = one.comparison.tasks
    return [figure for make in makers for task in tasks for figure in make(one, task)]


def _content(records: Sequence[Record], name: str) -> list[dict[str, Any]]:
    found = (r.analyses[name] for r in records if name in r.analyses)
    return [each.content for each in found if each.content]


def _ending(one: OneModel, task: str) -> str:
    """Tell the figures of several tasks apart."""
    tasks = one.comparison.tasks
    return f"-{tasks.index(task) + 1}" if len(tasks) > 1 else ""


def _on(one: OneModel, task: str) -> str:
    return f", {task}" if len(one.comparison.tasks) > 1 else ""


def _seeds(count: int) -> str:
    return f"{count} seeds" if count > 1 else "one seed"


def _good(row: Row, task: str) -> list[Record]:
    return [record for record, _ in measured(row, task)]


# -- CKA -----------------------------------------------------------------------------------------


def _cka(one: OneModel, task: str) -> Iterator[Figure]:
    maps, seeds = [], set()
    for row in one.rows:
        records = _good(row, task)
        found = _content(records, "cka")
        longest: list[int] = max((each["steps"] for each in found), key=len, default=[])
        same = [each["cka"] for each in found if each["steps"] == longest]
        if not same:
            continue
        seeds.add(len(same))
        means = [[fmean(v) for v in zip(*looks, strict=True)] for looks in zip(*same, strict=True)]
        maps.append(Similarity(row.method, longest, means, _froze(records)))
    if maps:
        yield one.figure(
            f"cka{_ending(one, task)}",
            f"When layers come to what they end as{_on(one, task)}",
            "Linear CKA of each layer's output with the same layer's after the last step, on the "
            f"same training examples without dropout; mean over {_seeds(max(seeds))}. Layers count "
            "from the lowest. Red strokes: where a layer's adapter froze, mean over the seeds in "
            "which it did. After SAFE's Fig. 3.",
            partial(similarities, maps[:MOST]), of_memory=False,
        )  # fmt: skip


def _froze(records: Sequence[Record]) -> dict[int, float]:
    """Return the mean step after which a layer's adapter froze, over the runs in which it did."""
    found = froze(records, "")
    if found is None:
        return {}
    steps: dict[int, list[int]] = {}
    for run in found.runs:
        for name, step in run.items():
            number = next((part for part in name.split(".") if part.isdigit()), None)
            if step is not None and number is not None:
                steps.setdefault(int(number), []).append(step)
    return {layer: fmean(each) for layer, each in steps.items()}


# -- the minimum ---------------------------------------------------------------------------------


def _hessian(one: OneModel, task: str) -> Iterator[Figure]:
    known = [c for row in one.rows for c in _content(_good(row, task), "hessian")]
    for number, over in enumerate(dict.fromkeys(o for content in known for o in content["over"])):
        spectra = {
            row.method: [
                content["over"][over]["eigenvalues"]
                for content in _content(_good(row, task), "hessian")
                if over in content["over"]
            ]
            for row in one.rows
        }
        spectra = {method: runs for method, runs in spectra.items() if runs}
        yield one.figure(
            f"hessian{_ending(one, task)}{f'-{over}' if number else ''}",
            f"Largest eigenvalues of the Hessian over what is {over}{_on(one, task)}",
            f"Of the training loss over {known[0]['examples']} training examples without dropout, "
            "at the end of training, by Lanczos with exact Hessian-vector products. Points are "
            f"runs ({_seeds(max(map(len, spectra.values())))}), strokes their means. After SAFE's "
            "Fig. 7.",
            partial(eigenvalues, spectra), of_memory=False,
        )  # fmt: skip


def _landscape(one: OneModel, task: str) -> Iterator[Figure]:
    found = []
    for row in one.rows:
        records = [r for r in _good(row, task) if "landscape" in r.analyses]
        first = min(records, key=lambda record: record.seed, default=None)
        for content in _content([first] if first else [], "landscape"):
            title = f"{row.method}, seed {first.seed if first else 0}"
            found.append(Plane(title, content["axis"], content["losses"]))
            examples, over = content["examples"], content["over"]
    if found:
        yield one.figure(
            f"landscape{_ending(one, task)}", f"The training loss around the end{_on(one, task)}",
            f"Over {examples} training examples without dropout; the cross is where training "
            f"ended. What is {over} moves along two random directions that are orthogonal and, "
            "filter by filter, as long as the tensors at 1 (Li et al., 2018); the directions are "
            "the same random numbers for all methods. One seed. After SAFE's Fig. 7.",
            partial(planes, found[:MOST]), of_memory=False,
        )  # fmt: skip


# -- one adapter at a time -----------------------------------------------------------------------


def _one_layer(one: OneModel, task: str) -> Iterator[Figure]:
    found = []
    for row in one.rows:
        records = _good(row, task)
        if not records or task not in row.scores:
            continue
        options = records[0].cell.get("method_options", {})
        layers = options.get("layers")
        single = isinstance(layers, list) and len(layers) == 2 and layers[1] == layers[0] + 1
        if not single and layers != "all":
            continue
        values = [r.main_score for r in records if r.main_score is not None]
        score, peaks = row.scores[task], [r.memory.peak_training for r in records if r.memory]
        found.append(ByLayer(layers[0] if single else None, row.method, score.mean, score.spread,
                             values, max(peaks, default=None)))  # fmt: skip
    if sum(each.layer is not None for each in found) < 2:
        return
    metric = _good(one.rows[0], task)[0].main_metric or "score"
    yield one.figure(
        f"one-layer{_ending(one, task)}", f"An adapter in one layer alone{_on(one, task)}",
        "Scores: mean and standard deviation over seeds, strokes are runs. Peaks: the largest over "
        "seeds. Lines: an adapter in every layer. After SAFE's Fig. 2.",
        partial(one_at_a_time, found, metric, is_fraction(metric)),
    )  # fmt: skip
