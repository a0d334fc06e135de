"""SQuAD v1.1 as a task: Rajpurkar et al. 2016."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.errors import UserError
from harness.tasks.answer_scores import score_answers
from harness.tasks.base import (
    DataRequest,
    Protocol,
    Task,
    TaskData,
    fingerprint,
    limit_notes,
    limited,
)
from harness.tasks.families.questions import Question
from harness.tasks.squad import files, hub
from harness.tasks.squad.rows import Part
from harness.tasks.squad.splits import by_paragraph

OFFICIAL = {"train": 87_599, "dev": 10_570}  # questions


class SquadTask(Task):
    """Spans of Wikipedia that answer questions, scored as by evaluate-v1.1.py (fractions)."""

    description = "SQuAD v1.1: which span of a paragraph answers a question"
    family = "question_answering"
    num_labels = 2  # logits of start and end
    metrics = ("f1", "exact_match")
    holds_out = True

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self, request: DataRequest) -> TaskData:
        """Read the questions, split them by the protocol, then cut each part to the asked number.

        `aflora` and `plain`: the whole development set, to select on and to report. `safe`: the
        development set in two halves, between paragraphs: validation and test. Where a folder has
        one file, `eval` says which share of its questions is the development set.

        Raises:
            UserError: the data are at fault, or the request says what this task does not heed.
        """
        for key in ("text_column", "pair_column", "label_column"):
            if getattr(request, key) is not None:
                raise UserError(
                    f"task {self.name}: {key} {getattr(request, key)!r}: its columns are called "
                    "context, question and answers"
                )
        if self.is_local(request):
            parts, source, notes = _local(request)
        else:
            (parts, source), notes = hub.read(request), []
            _refuse_share(request, source)
        train = limited(parts["train"].rows, request.train_rows)
        evaluations, report_on = _split(parts["dev"].rows, request.protocol)
        cut = {name: limited(rows, request.evaluation_rows) for name, rows in evaluations.items()}
        return TaskData(
            train=train,
            evaluations=cut,
            select_on="validation",
            select_metric="f1",
            report_on=report_on,
            main_metric="f1",
            averaged=("f1",),
            source=source,
            fingerprint=fingerprint(train, cut),
            notes=(*notes, *_part_notes(parts), *limit_notes(request, train)),
        )

    def score(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> dict[str, float]:
        """Return F1 and exact match of answers."""
        return score_answers(self.metrics, predictions, references)


def _local(request: DataRequest) -> tuple[dict[str, Part], str, list[str]]:
    """Return train and dev, where they come from, and notes on the files."""
    folder = files.find_folder(request)
    paths = files.find_parts(folder)
    names = ", ".join(path.name for path in paths.values())
    parts = {part: files.read(path) for part, path in paths.items()}
    notes = [f"files {names}"]
    if "all" not in parts:
        _refuse_share(request, f"{folder}, which has {names}")
    elif request.eval is None:
        raise UserError(
            f"{folder} has one file with questions, {names}; eval: 0.2 holds out that share of its "
            "questions, by paragraph, to evaluate on"
        )
    else:
        whole = parts["all"]
        dev, train = by_paragraph(whole.rows, request.eval)
        parts = {"train": Part(train, whole.misplaced), "dev": Part(dev)}
        notes.append(f"{len(dev):,} of {len(whole.rows):,} questions held out, by paragraph")
    return parts, f"local {folder}", notes


def _refuse_share(request: DataRequest, where: str) -> None:
    if request.eval is not None:
        raise UserError(
            f"eval {request.eval:g} holds out a share of the one file of a folder, and there is a "
            f"development set in {where}"
        )


def _split(
    dev: Sequence[Question], protocol: Protocol
) -> tuple[Mapping[str, Sequence[Question]], tuple[str, ...]]:
    """Return the evaluations by a protocol, and those that are reported."""
    if protocol != "safe":
        return {"validation": dev}, ("validation",)
    validation, test = by_paragraph(dev, 0.5)
    return {"validation": validation, "test": test}, ("test",)


def _part_notes(parts: Mapping[str, Part]) -> list[str]:
    """Say what was left out, and where the questions are not the official ones."""
    left_out = [
        f"{name}: {part.misplaced} questions left out, whose answers are not where the data say"
        for name, part in parts.items()
        if part.misplaced
    ]
    sizes = [
        f"{name} has {len(parts[name].rows):,} questions, official SQuAD v1.1 has {official:,}"
        for name, official in OFFICIAL.items()
        if len(parts[name].rows) != official
    ]
    return [*left_out, *sizes]
