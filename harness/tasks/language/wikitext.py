"""WikiText-2: the perplexity of running text."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.tasks.base import DataRequest, Row, TaskData, fingerprint, limit_notes
from harness.tasks.language.base import LanguageTask, refuse_columns, required
from harness.tasks.language.sources import Found, Source
from harness.tasks.sources.files import text_of
from harness.tasks.texts import Text

SOURCE = Source(
    folders=("wikitext-2", "wikitext-2-raw-v1", "wikitext-2-raw", "wikitext"),
    files={
        "train": ("wiki.train.raw*", "wiki.train.tokens*"),
        "validation": ("wiki.valid.raw*", "wiki.valid.tokens*"),
        "test": ("wiki.test.raw*", "wiki.test.tokens*"),
    },
    repository="Salesforce/wikitext",
    config="wikitext-2-raw-v1",
    revision=None,
    splits={"train": "train", "validation": "validation", "test": "test"},
)


class WikitextTask(LanguageTask):
    """Text in blocks of `max_length` tokens, to learn and to be scored on."""

    description = "WikiText-2: perplexity of running text in blocks"
    metrics = ("perplexity",)
    main_metric = "perplexity"

    def load(self, request: DataRequest) -> TaskData:
        """Read the official splits; limits take the first lines, which belong together.

        Raises:
            UserError: there is no test set, or nothing to train on.
        """
        refuse_columns(self, request, "text_column", "pair_column", "label_column")
        parts = {part: lines(request, self.name, part) for part in SOURCE.files}
        test = required(parts["test"], self.name, "test", "wiki.test.raw*")
        valid = required(parts["validation"], self.name, "validation", "wiki.valid.*")
        train, notes = parts["train"], [tokenised(part) for part in parts.values() if part]
        validation = texts(valid)
        if train is None:
            learned, validation = (
                validation[: -len(validation) // 10],
                validation[-len(validation) // 10 :],
            )
            notes.append(f"no training file: the first nine tenths of {valid.where} train")
        else:
            learned = texts(train)
        learned = learned[: request.train_rows]
        evaluations = {
            "validation": validation[: request.evaluation_rows],
            "test": texts(test)[: request.evaluation_rows],
        }
        return perplexity_data(
            self, request, learned, evaluations,
            source=SOURCE.described(request, self.name), notes=[note for note in notes if note],
        )  # fmt: skip


def perplexity_data(
    task: LanguageTask,
    request: DataRequest,
    train: Sequence[Row],
    evaluations: Mapping[str, Sequence[Row]],
    *,
    source: str,
    notes: Sequence[str],
) -> TaskData:
    """Return data that is selected by the lowest perplexity and has no place in an average."""
    return TaskData(
        train=train,
        evaluations=evaluations,
        select_on="validation",
        select_metric="perplexity",
        lowest=True,
        report_on=("test",),
        main_metric="perplexity",
        averaged=(),
        source=source,
        fingerprint=fingerprint(train, evaluations),
        notes=(*notes, *limit_notes(request, train)),
    )


def lines(request: DataRequest, task: str, part: str, folder: Path | None = None) -> Found | None:
    """Return a part's lines as the hub has them, None where no file has them.

    A line keeps its end, and one of blanks only is empty.
    """
    folder = folder or SOURCE.folder(request, task)
    if folder is None:
        return SOURCE.find(request, task, part)
    path = SOURCE.file(folder, part)
    if path is None:
        return None
    text = text_of(path).replace("\r\n", "\n")
    # Lines end there alone; other separators are text.
    rows = [{"text": line if line.strip() else ""} for line in io.StringIO(text)]
    return Found(rows, path.name)


def texts(found: Found) -> list[Text]:
    """Return the lines as rows."""
    return [Text(str(row["text"])) for row in found.rows]


def tokenised(found: Found) -> str:
    """Say so where a file has the other version of the text."""
    if ".tokens" not in found.where:
        return ""
    return f"{found.where} is the tokenised version, with <unk> for rare words"
