"""GSM8K: grade-school mathematics, by generated solutions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.errors import UserError
from harness.tasks.base import DataRequest, TaskData
from harness.tasks.generation import Generation
from harness.tasks.language.alpaca import RESPONSE, parts_of, prompt_of
from harness.tasks.language.base import (
    LanguageTask,
    held_out,
    refuse_columns,
    required,
    tenth,
    text_of,
)
from harness.tasks.language.sources import Found, Source
from harness.tasks.texts import Prompted

SOURCE = Source(
    folders=("gsm8k", "grade-school-math"),
    files={"train": ("math_10k*", "train*"), "test": ("test*",)},
    repository="openai/gsm8k",
    config="main",
    revision=None,
    splits={"train": "train", "test": "test"},
)
HELD_OUT = 120  # of AFLoRA's training rows
TOLERANCE = 1e-3
_NUMBER = re.compile(r"-?\d+\.?\d*")
_CALCULATION = re.compile(r"<<[^<>]*>>")  # GSM8K's notes for a calculator


class Gsm8kTask(LanguageTask):
    """Solutions are right by their last number, as LLM-Adapters' evaluate.py reads it.

    Trains on LLM-Adapters' math_10k where `folder` holds it, else on GSM8K's own training set; the
    loss is of prompt and answer (its train_on_inputs).
    """

    description = "GSM8K: word problems, right by the last number of a generated solution"
    metrics = ("accuracy",)
    main_metric = "accuracy"
    generation = Generation(num_beams=4, max_new_tokens=256)

    def load(self, request: DataRequest) -> TaskData:
        """Read training rows, of which some select, and the official test set."""
        refuse_columns(self, request, "text_column", "pair_column", "label_column")
        parts = {part: SOURCE.find(request, self.name, part) for part in SOURCE.files}
        trained = required(parts["train"], self.name, "train", "math_10k*, train*")
        test = required(parts["test"], self.name, "test", "test*")
        rows = [problem(row, f"{trained.where}, row {number}")
                for number, row in enumerate(trained.rows, 1)]  # fmt: skip
        train, validation = held_out(rows, tenth(rows, HELD_OUT))
        notes = [f"{len(validation)} of {len(rows)} training rows select"]
        if "math_10k" not in trained.where:
            notes.append("trained on GSM8K's own training set, not on LLM-Adapters' math_10k")
        evaluations = {"validation": validation, "test": _problems(test)}
        return self.data(
            request, train, evaluations, source=SOURCE.described(request, self.name), notes=notes,
            averaged=("accuracy",),
        )  # fmt: skip

    def score(self, predictions: Any, references: Any) -> dict[str, float]:
        """Return the share of right answers."""
        pairs = zip(predictions, references, strict=True)
        right = [is_right(text, wanted[0]) for text, wanted in pairs]
        return {"accuracy": sum(right) / len(right)}


def is_right(text: str, wanted: str) -> bool:
    """Tell whether the last number of a generated text is the wanted one, within 0.001."""
    found = last_number(text.split(RESPONSE)[0])
    return found is not None and abs(found - float(wanted)) <= TOLERANCE


def last_number(text: str) -> float | None:
    """Return the last number of a text, whose commas are none of it."""
    numbers = _NUMBER.findall(text.replace(",", ""))
    return float(numbers[-1]) if numbers else None


def problem(row: dict[str, Any], where: str) -> Prompted:
    """Return a row of GSM8K (question, answer), or of math_10k (instruction, output, answer).

    Raises:
        UserError: its answer is no number.
    """
    if "question" in row:
        question, solution = text_of(row, ("question",), where), text_of(row, ("answer",), where)
        text, answer = _CALCULATION.sub("", solution), solution.rpartition("####")[2]
        prompt = prompt_of(question)
    else:
        told, given, text = parts_of(row, where)
        answer, prompt = str(row.get("answer", text)), prompt_of(told, given)
    number = last_number(answer)
    if number is None and "question" in row:
        raise UserError(f"{where}: the answer {answer.strip()!r} is no number")
    # Rows of AQuA in math_10k are answered by a letter: they train, and nothing scores them right.
    return Prompted(prompt, text, ("nan" if number is None else f"{number:.10g}",), True)


def _problems(found: Found) -> Sequence[Prompted]:
    return [problem(row, f"{found.where}, row {number}")
            for number, row in enumerate(found.rows, 1)]  # fmt: skip
