"""CNN/DailyMail: articles to their highlights, by an encoder-decoder."""

from __future__ import annotations

from harness.tasks.base import DataRequest, TaskData
from harness.tasks.generation import Generation
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
    folders=("cnn_dailymail", "cnn-dailymail", "cnndm", "cnndm-sample"),
    files={"train": ("train*",), "validation": ("validation*", "valid*", "dev*"),
           "test": ("test*",)},
    repository="abisee/cnn_dailymail",
    config="3.0.0",
    revision=None,
    splits={"train": "train", "validation": "validation", "test": "test"},
)  # fmt: skip
LARGEST_SHARE = 13_368  # rows of the official validation set


class CnnDailymailTask(LanguageTask):
    """ROUGE of summaries, generated as AdaLoRA's script for BART does (beams 4, 160 tokens)."""

    description = "CNN/DailyMail: ROUGE of generated summaries"
    family = "seq2seq"
    metrics = ("rouge1", "rouge2", "rougeL")
    main_metric = "rouge1"
    generation = Generation(num_beams=4, max_new_tokens=160)

    def load(self, request: DataRequest) -> TaskData:
        """Read the official splits; of those that have no file a part of the training rows."""
        refuse_columns(self, request, "pair_column")
        parts = {part: SOURCE.find(request, self.name, part) for part in SOURCE.files}
        found = required(parts["train"], self.name, "train", "train*")
        train, evaluations = self._pairs(found, request), {}
        notes = []
        for part in ("validation", "test"):
            other = parts[part]
            if other is not None:
                evaluations[part] = self._pairs(other, request)
                continue
            train, evaluations[part] = held_out(train, tenth(train, LARGEST_SHARE))
            notes.append(f"no {part} file: {len(evaluations[part])} training rows take its place")
        source = SOURCE.described(request, self.name)
        return self.data(request, train, evaluations, source=source, notes=notes,
                         averaged=("rouge1", "rouge2"))  # fmt: skip

    def _pairs(self, found: Found, request: DataRequest) -> list[Prompted]:
        articles, highlights = (
            (request.text_column, "article"),
            (request.label_column, "highlights"),
        )
        return [
            Prompted(
                text_of(row, articles, f"{found.where}, row {number}"),
                text_of(row, highlights, f"{found.where}, row {number}"),
            )
            for number, row in enumerate(found.rows, 1)
        ]
