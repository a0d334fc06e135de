"""A paper's scores in a wide table: tasks in columns, and below each of its rows ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.reporting.beside import Beside
from harness.reporting.columns import Column, words

SHORT = {
    "accuracy validation": "matched",
    "accuracy validation_mismatched": "mismatched",
    "frozen_adapter_fraction": "frozen",
}
ALONE = {"accuracy", "matthews", "pearson"}  # need no name beside the task's
Key = tuple[str, str]  # task, metric


@dataclass(frozen=True)
class ScoreLine:
    """Scores of one row: the paper's, or those measured here.

    Attributes:
        texts: by task and metric, as people read them.
        scores: the same as numbers.
    """

    model: str
    method: str
    whose: str
    texts: Mapping[Key, str]
    scores: Mapping[Key, float | None]


def score_lines(rows: Sequence[Beside], marks: Mapping[str, str]) -> list[ScoreLine]:
    """Return a line of the paper's and, where anything is measured, one of ours, for each row."""
    groups: dict[tuple[str, str, str], list[Beside]] = {}
    for row in rows:
        name = row.printed.model.rpartition("/")[2]
        groups.setdefault((name, row.label, row.variant), []).append(row)
    lines = []
    for (model, label, variant), group in groups.items():
        shared = _shared_flag(group)
        whose = f"paper ({marks[shared]})" if shared in marks else "paper"
        method = f"{label} {variant}".strip()
        lines.append(
            ScoreLine(
                model, method, whose,
                {_key(row): _paper(row, shared, marks) for row in group},
                {_key(row): row.printed.value for row in group},
            )
        )  # fmt: skip
        if any(row.measured for row in group):
            found = {_key(row): row.measured.first for row in group if row.measured}
            texts = {key: f"{value:.2f}" for key, value in found.items()}
            lines.append(ScoreLine(model, method, "measured", texts, found))
    return lines


def _key(row: Beside) -> Key:
    return row.printed.task, row.printed.metric


def _shared_flag(group: Sequence[Beside]) -> str:
    """Return the flag that most figures of a row have, if all have one: it is said once then."""
    flags = [row.printed.flag for row in group]
    return max(flags, key=flags.count) if all(flags) else ""


def _paper(row: Beside, shared: str, marks: Mapping[str, str]) -> str:
    text, flag = row.printed.text or "-", row.printed.flag
    return f"{text} ({marks[flag]})" if flag != shared and flag in marks else text


def score_columns(lines: Sequence[ScoreLine]) -> list[Column[ScoreLine]]:
    """Return the columns: whose line it is, and one for each task and metric."""
    models = len({line.model for line in lines}) > 1
    columns: list[Column[ScoreLine]] = [
        words(
            "model and method" if models else "method",
            lambda line: f"{line.model} {line.method}" if models else line.method,
        ),
        words("whose", lambda line: line.whose),
    ]
    keys = dict.fromkeys(key for line in lines for key in line.texts)
    return [*columns, *map(_column, keys)]


def _column(key: Key) -> Column[ScoreLine]:
    task, metric = key
    average = metric == "average"
    header = "average" if average else task if metric in ALONE else f"{task} {_short(metric)}"
    return Column(
        header,
        lambda line: (line.texts.get(key, "-"), line.scores.get(key)),
        lambda pair: pair[0],
        {f"{task} {metric}": lambda pair: pair[1]},
    )


def _short(metric: str) -> str:
    return SHORT.get(metric, metric)
