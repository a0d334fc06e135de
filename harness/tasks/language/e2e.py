"""E2E NLG: a restaurant's attributes to a sentence."""

from __future__ import annotations

from collections.abc import Sequence

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
    folders=("e2e-nlg", "e2e_nlg", "e2e-dataset", "e2e"),
    files={
        "train": ("trainset*", "train*"),
        "validation": ("devset*", "dev*", "validation*"),
        "test": ("testset_w_refs*", "test*"),
    },
    repository="tuetschek/e2e_nlg",
    config="default",
    revision="refs/convert/parquet",  # the repository itself holds a loading script
    splits={"train": "train", "validation": "validation", "test": "test"},
)
SEPARATOR = " ||"  # of the LoRA recipe; the text behind it begins with a space


class E2eTask(LanguageTask):
    """Training on every pair; one output per meaning representation, held against all its texts.

    Decoding as SAFE has it (Appendix C); the length of an answer is the LoRA recipe's.
    """

    description = "E2E NLG: a restaurant's attributes to a sentence"
    metrics = ("bleu", "nist", "meteor", "rouge_l", "cider")
    main_metric = "bleu"
    generation = Generation(
        num_beams=10, length_penalty=0.8, no_repeat_ngram_size=4, max_new_tokens=64
    )

    def load(self, request: DataRequest) -> TaskData:
        """Read the official splits; without a training file the development set is divided."""
        refuse_columns(self, request, "pair_column")
        parts = {part: SOURCE.find(request, self.name, part) for part in SOURCE.files}
        looked = ", ".join(SOURCE.files["test"])
        test = required(parts["test"], self.name, "test", looked)
        dev = required(parts["validation"], self.name, "validation", "devset*, validation*")
        notes: tuple[str, ...] = ()
        if parts["train"] is not None:
            train = self._pairs(parts["train"], request)
            validation = grouped(self._pairs(dev, request))
        else:
            others, chosen = held_out(meanings := grouped(self._pairs(dev, request)),
                                      tenth(meanings, len(meanings)))  # fmt: skip
            kept = {row.prompt for row in others}
            train = [row for row in self._pairs(dev, request) if row.prompt in kept]
            validation = chosen
            notes = (
                f"no training file: nine tenths of the meaning representations of {dev.where} "
                "train, the others select",
            )
        evaluations = {"validation": validation, "test": grouped(self._pairs(test, request))}
        source = SOURCE.described(request, self.name)
        return self.data(request, train, evaluations, source=source, notes=notes,
                         averaged=("bleu",))  # fmt: skip

    def _pairs(self, found: Found, request: DataRequest) -> list[Prompted]:
        prompts = (request.text_column, "mr", "meaning_representation")
        texts = (request.label_column, "ref", "human_reference")
        return [
            Prompted(
                text_of(row, prompts, f"{found.where}, row {number}") + SEPARATOR,
                " " + text_of(row, texts, f"{found.where}, row {number}"),
            )
            for number, row in enumerate(found.rows, 1)
        ]


def grouped(pairs: Sequence[Prompted]) -> list[Prompted]:
    """Return one row per prompt, in the order in which they come, with all its responses."""
    texts: dict[str, list[str]] = {}
    for pair in pairs:
        texts.setdefault(pair.prompt, []).append(pair.response.strip())
    return [Prompted(prompt, " " + found[0], tuple(found)) for prompt, found in texts.items()]
