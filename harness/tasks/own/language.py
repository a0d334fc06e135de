"""Own texts for language models: running text, or prompts with responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.tasks.base import Row
from harness.tasks.generation import Generation
from harness.tasks.own.cells import Cells
from harness.tasks.own.functions import call, is_function
from harness.tasks.own.kind import Kind
from harness.tasks.text_metrics import METRICS
from harness.tasks.texts import Prompted, Text

if TYPE_CHECKING:
    from harness.tasks.own.data import OwnData

PERPLEXITY = "perplexity"  # of likelihoods; all other metrics are of texts that are generated


class _Language(Kind):
    """Scored by the perplexity of what is to be learned, or by what the model generates."""

    known_metrics: ClassVar[tuple[str, ...]] = (PERPLEXITY, *METRICS)
    lowest: ClassVar[frozenset[str]] = frozenset({PERPLEXITY})

    def generation_of(self, data: OwnData) -> Generation | None:
        """Answers are generated where a metric is of texts; greedily, unless the suite says how."""
        return None if data.scored == (PERPLEXITY,) else data.generation or Generation()

    def refused(self, data: OwnData) -> str | None:
        """Refuse what one way of evaluating cannot give."""
        generates = data.scored != (PERPLEXITY,)
        if generates and PERPLEXITY in data.scored:
            return f"metrics: {PERPLEXITY} is of likelihoods, the others of generated texts"
        if data.generation is not None and not generates:
            return f"generation: nothing is generated for {PERPLEXITY}; metrics may name others"
        return None

    def known_scores(
        self, metrics: Sequence[str], predictions: Any, references: Any
    ) -> dict[str, float]:
        """Score likelihoods (n, 2), or generated texts against those of each row."""
        if list(metrics) == [PERPLEXITY]:
            from harness.tasks.language.likelihood import perplexity

            return {PERPLEXITY: perplexity(predictions)}
        from harness.tasks.text_metrics import score_text

        return score_text(metrics, predictions, references)

    def require(self, metrics: Sequence[str]) -> None:
        """See that the metrics of generated text are installed."""
        from harness.tasks.text_metrics import require

        require([name for name in metrics if name in METRICS])

    def check_metrics(self, metrics: Sequence[str], rows: Sequence[Any], num_labels: int) -> None:
        """Try functions on answers that are all right."""
        for name in filter(is_function, metrics):
            call(name, [row.accepted for row in rows], [row.response for row in rows])


class OwnCausalLM(_Language):
    """Running text; with a column of labels, prompts and the responses to learn.

    A line break stands between prompt and response.
    """

    family: ClassVar[str] = "causal_lm"
    roles: ClassVar[Mapping[str, str | None]] = {"text": "text", "label": None}
    usual_metrics: ClassVar[tuple[str, ...]] = (PERPLEXITY,)

    def in_order(self, data: OwnData) -> bool:
        """Running text is in order."""
        return data.label is None

    def refused(self, data: OwnData) -> str | None:
        """Refuse, too, answers to running text."""
        if data.label is None and data.scored != (PERPLEXITY,):
            return f"metrics: running text is scored by {PERPLEXITY}; label names responses"
        return super().refused(data)

    def row(self, cells: Cells, classes: Mapping[str, int]) -> Row:
        """Take over the texts."""
        text = cells.text("text")
        if "label" not in cells.columns:
            return Text(text)
        response = cells.text("label")
        return Prompted(f"{text}\n", response, (response,))


class OwnSeq2Seq(_Language):
    """Sources and targets of an encoder-decoder."""

    family: ClassVar[str] = "seq2seq"
    roles: ClassVar[Mapping[str, str | None]] = {"text": "text", "label": "label"}
    usual_metrics: ClassVar[tuple[str, ...]] = ("rouge_l",)

    def row(self, cells: Cells, classes: Mapping[str, int]) -> Row:
        """Take over the texts."""
        target = cells.text("label")
        return Prompted(cells.text("text"), target, (target,))
