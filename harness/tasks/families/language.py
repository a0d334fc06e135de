"""Language models: the next token, of a decoder alone or behind an encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import UserError
from harness.tasks.families.base import TEXT_SHAPE, Evaluation, Family

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.shapes import BatchShape
    from harness.tasks.families.base import Encoded
    from harness.tasks.generation import Generation

IGNORED = -100  # the label of tokens that no loss is taken of


class _Language(Family):
    """What both kinds share: token losses, answers as token ids."""

    smooths: ClassVar[bool] = True

    def texts(self, rows: Iterable[Any]) -> Iterator[str]:
        """Yield texts, prompts and responses."""
        for row in rows:
            yield from [row.text] if hasattr(row, "text") else [row.prompt, row.response]

    def prediction_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch with its labels, whose likelihood is what is predicted."""
        return dict(batch)

    def generate(
        self, model: nn.Module, inputs: Mapping[str, Tensor], generation: Generation
    ) -> Tensor:
        """Return the new tokens (B, N) of the best answer to each prompt."""
        from harness.tasks.families.decoding import new_tokens

        return new_tokens(model, inputs, generation)

    def predictions(self, kept: Sequence[Tensor], data: Any) -> Any:
        """Return generated answers as texts, or (examples, 2): sum of -log p, and tokens."""
        import torch

        if hasattr(data, "text"):
            return [data.text(tokens) for tokens in kept]
        return torch.stack(list(kept)).double().numpy()

    def references(self, data: Any) -> Any:
        """Return the accepted texts of each answer; of likelihoods nothing but their number."""
        return data.references if hasattr(data, "text") else [None] * len(data)


class CausalLM(_Language):
    """Every token from those before it; a token's label stands at its own place.

    Args:
        train_on_prompt: whether the loss is taken of prompts, too; None: as the rows say.
    """

    name: ClassVar[str] = "causal_lm"
    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    # Models that see, too: the tower stands idle beside text, and takes its memory.
    other_classes: ClassVar[tuple[str, ...]] = ("AutoModelForImageTextToText",)
    settings: ClassVar[tuple[str, ...]] = ("train_on_prompt",)

    def __init__(self, train_on_prompt: bool | None = None) -> None:
        self.train_on_prompt = train_on_prompt

    def set_head(self, config: Any, num_labels: int) -> None:
        """Make an encoder such as BERT look at earlier tokens only; decoders do it anyway."""
        if getattr(config, "is_decoder", None) is False and not config.is_encoder_decoder:
            config.is_decoder = True

    def encode(self, tokenizer: Any, rows: Sequence[Any], max_length: int) -> Encoded:
        """Return running text as blocks of `max_length` tokens, or prompts with responses."""
        from harness.tasks.families import encoding

        if encoding.all_text(rows, self.name):
            return encoding.blocks(tokenizer, rows, max_length)
        return encoding.sequences(tokenizer, rows, max_length, self.train_on_prompt)

    def encode_evaluation(
        self, tokenizer: Any, rows: Sequence[Any], max_length: int, generation: Generation | None
    ) -> Encoded:
        """Return prompts alone where answers are generated; else what training sees.

        Raises:
            UserError: an answer to running text is asked for.
        """
        from harness.tasks.families import encoding

        if generation is None:
            return self.encode(tokenizer, rows, max_length)
        if encoding.all_text(rows, self.name):
            raise UserError("running text has no prompts to generate answers to")
        return encoding.prompts(tokenizer, rows, max_length)

    def positions(self, shape: BatchShape, generation: Generation | None) -> int:
        """Return the tokens of a prompt and of the answer behind it."""
        return shape.length + (generation.max_new_tokens if generation else 0)

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, S) token ids and as many labels."""
        from harness.tasks.families.text import hollow_ids, hollow_tokens

        labels = hollow_ids(shape.examples, shape.length)
        return {**hollow_tokens(model, shape, mask), "labels": labels}

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the cross-entropy of each token given those before it, in float32."""
        return _token_loss(*_next_tokens(outputs.logits, inputs["labels"]), smoothing)

    def predict(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (B, 2): the sum of -log p over the labels of each example, and their number."""
        from harness.tasks.families.pieces import pieces_of

        labels = inputs["labels"]
        pieces = pieces_of(model)
        if pieces is not None:
            with pieces.by_token():
                return _of_tokens(model(**inputs).token_losses, labels)
        ids = {name: value for name, value in inputs.items() if name != "labels"}
        return _likelihoods(*_next_tokens(model(**ids).logits, labels))


class Seq2Seq(_Language):
    """A decoder's tokens from those before them and from the encoder's text.

    Args:
        max_target_length: tokens of a target, at most; None: as many as of a source.
    """

    name: ClassVar[str] = "seq2seq"
    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    evaluation: ClassVar[Evaluation] = "generation"
    shape_keys: ClassVar[frozenset[str]] = TEXT_SHAPE | {"target_length"}
    settings: ClassVar[tuple[str, ...]] = ("max_target_length",)

    def __init__(self, max_target_length: int | None = None) -> None:
        self.max_target_length = max_target_length

    def encode(self, tokenizer: Any, rows: Sequence[Any], max_length: int) -> Encoded:
        """Return sources and targets.

        Raises:
            UserError: rows of running text, which have neither.
        """
        from harness.tasks.families import encoding

        self._refuse_text(rows)
        return encoding.pairs(tokenizer, rows, max_length, self.max_target_length)

    def encode_evaluation(
        self, tokenizer: Any, rows: Sequence[Any], max_length: int, generation: Generation | None
    ) -> Encoded:
        """Return sources alone where answers are generated; else what training sees."""
        from harness.tasks.families import encoding

        if generation is None:
            return self.encode(tokenizer, rows, max_length)
        self._refuse_text(rows)
        return encoding.sources(tokenizer, rows, max_length)

    def positions(self, shape: BatchShape, generation: Generation | None) -> int:
        """Return the tokens of the source, the target or the answer, whichever are most."""
        # The decoder's start token takes the place of the last new one, which is never read.
        answer = generation.max_new_tokens if generation else 0
        return max(shape.length, shape.target_length or 0, answer)

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, S) token ids and (B, T) labels of the decoder; T is S where none is given."""
        from harness.tasks.families.text import hollow_ids, hollow_tokens

        labels = hollow_ids(shape.examples, shape.target_length or shape.length)
        return {**hollow_tokens(model, shape, mask), "labels": labels}

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the cross-entropy of the decoder's tokens, in float32."""
        return _token_loss(outputs.logits, inputs["labels"], smoothing)

    def predict(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (B, 2): the sum of -log p over each target's tokens, and their number."""
        return _likelihoods(model(**inputs).logits, inputs["labels"])

    def _refuse_text(self, rows: Sequence[Any]) -> None:
        from harness.tasks.families import encoding

        if encoding.all_text(rows, self.name):
            raise UserError("running text has no targets for an encoder-decoder")


def _next_tokens(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of each token's successor, and that successor.

    Logits of learned tokens that peft puts in front of a text are left out.
    """
    return logits[:, -labels.shape[1] : -1], labels[:, 1:]


def _token_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    from torch.nn import functional

    return functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
    )


def _of_tokens(losses: Tensor, labels: Tensor) -> Tensor:
    """Return (B, 2) as `_likelihoods` does, of each token's loss (B, S)."""
    import torch

    sums = losses[:, -labels.shape[1] : -1].sum(dim=1)
    return torch.stack([sums, (labels[:, 1:] != IGNORED).sum(dim=1).float()], dim=1)


def _likelihoods(logits: Tensor, labels: Tensor) -> Tensor:
    """Return (B, 2) of logits (B, S, V): one example's are in float32 at a time."""
    import torch
    from torch.nn import functional

    sums = [
        functional.cross_entropy(row.float(), wanted, ignore_index=IGNORED, reduction="sum")
        for row, wanted in zip(logits, labels, strict=True)
    ]
    return torch.stack([torch.stack(sums), (labels != IGNORED).sum(dim=1).float()], dim=1)
