"""A plug-in as somebody else would write it: a family that Headroom does not have, and a task.

Which of the first letters of the alphabet does a text begin a word with: several labels at once.
"""

from __future__ import annotations

import random
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from harness.shapes import BatchShape
from harness.tasks.base import DataRequest, Example, Task, TaskData, fingerprint, limited
from harness.tasks.families.base import TEXT_SHAPE, Family
from harness.tasks.families.text import Tokens, hollow_tokens, tokenise

LETTERS = "abcd"
WORDS = ["apple", "bread", "cheese", "date", "egg", "fig", "grape"]


class MultiLabel(Family):
    """Any number of classes for each text."""

    name: ClassVar[str] = "multi_label"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    shape_keys: ClassVar[frozenset[str]] = TEXT_SHAPE | {"num_labels"}

    def set_head(self, config: Any, num_labels: int) -> None:
        config.num_labels = num_labels
        config.problem_type = "multi_label_classification"

    def texts(self, rows: Any) -> Any:
        return (row.text for row in rows)

    def encode(self, tokenizer: Any, rows: Any, max_length: int) -> Tokens:
        texts = [row.text for row in rows]
        features, pad = tokenise(tokenizer, texts, [None] * len(rows), max_length)
        bits = [[row.label >> i & 1 for i in range(len(LETTERS))] for row in rows]
        return Tokens(features, torch.tensor(bits, dtype=torch.float32), pad)

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        num_labels: int = model.config.num_labels
        labels = torch.empty(shape.examples, num_labels)
        return {**hollow_tokens(model, shape, mask), "labels": labels}

    def predictions(self, kept: Any, data: Any) -> Any:
        return (torch.stack(list(kept)) > 0).numpy()

    def references(self, data: Any) -> Any:
        return data.labels.numpy() > 0


class FirstLetters(Task):
    """The letters that words of a text begin with."""

    description = "plug-in: the letters that words begin with"
    num_labels = len(LETTERS)
    family = "multi_label"
    metrics = ("share_right",)

    def __init__(self, name: str) -> None:
        self.name = name

    def is_local(self, request: DataRequest) -> bool:
        return True

    def load(self, request: DataRequest) -> TaskData:
        train = limited(_rows(200, 0), request.train_rows)
        test = {"test": limited(_rows(64, 1), request.evaluation_rows)}
        return TaskData(
            train=train, evaluations=test, select_on="test", select_metric="share_right",
            report_on=("test",), main_metric="share_right", averaged=("share_right",),
            source="letters", fingerprint=fingerprint(train, test),
        )  # fmt: skip

    def score(self, predictions: Any, labels: Any) -> dict[str, float]:
        return {"share_right": float(np.mean(predictions == labels))}


def _rows(count: int, seed: int) -> list[Example]:
    dice = random.Random(seed)
    rows = []
    for _ in range(count):
        words = dice.sample(WORDS, 3)
        label = sum(1 << i for i, x in enumerate(LETTERS) if any(w[0] == x for w in words))
        rows.append(Example(" ".join(words), None, label))
    return rows


FAMILIES = {"multi_label": MultiLabel}
TASKS = {"first_letters": FirstLetters}
