"""Instruction tuning, judged by the perplexity of WikiText-2: SAFE's experiment on LLaMA."""

from __future__ import annotations

from pathlib import Path

from harness.tasks.base import DataRequest, TaskData, limited
from harness.tasks.language import wikitext
from harness.tasks.language.alpaca import parts_of, prompt_of
from harness.tasks.language.base import LanguageTask, held_out, refuse_columns, required, tenth
from harness.tasks.language.sources import Source
from harness.tasks.texts import Prompted, Text

SOURCE = Source(
    folders=("lamini", "LaMini-instruction", "lamini-instruction", "instructions", "alpaca",
             "alpaca-seed-tasks"),
    files={"train": ("train*", "*instruction*", "alpaca_data*", "seed_tasks*")},
    repository="MBZUAI/LaMini-instruction",
    config="default",
    revision=None,
    splits={"train": "train"},
)  # fmt: skip
VALIDATION_ROWS = 1000


class InstructionsTask(LanguageTask):
    """Learns from instructions; selected on 1,000 of them, scored on running text.

    One source trains and another one is scored: `folder` (or `data_root`) has the instructions,
    and WikiText-2 is in the same `data_root`, in `folder` itself, or on the hub.
    """

    description = "instruction tuning (LaMini, Alpaca), scored by WikiText-2 perplexity"
    metrics = ("perplexity",)
    main_metric = "perplexity"

    def load(self, request: DataRequest) -> TaskData:
        """Read both sources."""
        refuse_columns(self, request, "text_column", "pair_column", "label_column")
        found = required(
            SOURCE.find(request, self.name, "train"), self.name, "train",
            ", ".join(SOURCE.files["train"]),
        )  # fmt: skip
        rows = [
            parts_of(row, f"{found.where}, row {number}")
            for number, row in enumerate(found.rows, 1)
        ]
        pairs = [Prompted(prompt_of(told, given), response) for told, given, response in rows]
        train, validation = held_out(pairs, tenth(pairs, VALIDATION_ROWS))
        test, where = self._wikitext(request)
        return wikitext.perplexity_data(
            self, request, limited(train, request.train_rows),
            {"validation": limited(validation, request.evaluation_rows),
             "test": test[: request.evaluation_rows]},
            source=f"{SOURCE.described(request, self.name)}; scored on {where}",
            notes=[f"{len(validation)} of {len(pairs)} instructions select"],
        )  # fmt: skip

    def _wikitext(self, request: DataRequest) -> tuple[list[Text], str]:
        """Return the test set of WikiText-2 and what it is called."""
        folder: Path | None = None
        if request.folder is not None and wikitext.SOURCE.file(request.folder, "test"):
            folder = request.folder
        elif request.data_root is not None:
            folder = wikitext.SOURCE.in_root(request.data_root, self.name)
        if folder is None:
            hub = DataRequest()
            found = wikitext.lines(hub, self.name, "test")
            where = wikitext.SOURCE.address(hub)
        else:
            found = wikitext.lines(request, self.name, "test", folder)
            where = f"local {folder}"
        test = required(found, self.name, "test", "wiki.test.raw*")
        return wikitext.texts(test), where
