"""A family of tasks: all that a kind of task decides, in one class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from harness.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor, nn

    from harness.shapes import BatchShape
    from harness.tasks.generation import Generation

Evaluation = Literal["logits", "generation"]
Preparer = Literal["tokenizer", "image processor"]
# Training settings of single families, and what they say beside the others: nothing.
FAMILY_SETTINGS = ("train_on_prompt", "max_target_length", "augmentation")
# What a bare shape may say of texts.
TEXT_SHAPE = frozenset({"length", "lengths", "mask"})


class Encoded(Protocol):
    """Examples as numbers, in the order of the rows that they were made from."""

    def __len__(self) -> int:
        """Return the number of examples; a row may make several."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each example, by which batches may be grouped.

        What the record shall say of the encoding may stand in `notes`, sentences.
        """

    def shape(self, indices: Sequence[int], width: int | None = None) -> BatchShape:
        """Return the shape that `batch` has, without making it."""

    def terms(self, indices: Sequence[int]) -> int:
        """Return how many terms the mean loss of such a batch is over: examples, or tokens."""

    def batch(self, indices: Sequence[int], width: int | None = None) -> dict[str, Tensor]:
        """Return the model's inputs, labels among them, padded to `width` or to the longest."""

    def sample(self, shape: BatchShape) -> dict[str, Tensor]:
        """Return a batch of this shape, to count FLOPs on; its values hardly matter."""


class Family(ABC):
    """A kind of task: head, encoding, batches, loss and predictions.

    A family holds nothing but the training settings that are its own, and torch is imported inside
    its methods: suites load without it.

    Attributes:
        name: as a suite's `shape` and a task's `family` call it.
        auto_class: of transformers, which gives a model its head.
        other_classes: of transformers, in turn, for models that it has none for.
        evaluation: whether predictions come from one forward pass or from generated tokens.
        smooths: whether label smoothing means something here; `smoothed_loss` then says what.
        label_names: the inputs of a batch that predictions do without.
        preparer: what of the model makes examples of rows; None: nothing of it.
        shape_keys: what a bare shape may say, beside family and batch_size.
        settings: the training settings that mean something for this family only, of those named in
            `FAMILY_SETTINGS`: its class takes them by name.
    """

    name: ClassVar[str]
    auto_class: ClassVar[str]
    other_classes: ClassVar[tuple[str, ...]] = ()
    evaluation: ClassVar[Evaluation] = "logits"
    smooths: ClassVar[bool] = False
    label_names: ClassVar[tuple[str, ...]] = ("labels",)
    preparer: ClassVar[Preparer | None] = "tokenizer"
    shape_keys: ClassVar[frozenset[str]] = TEXT_SHAPE
    settings: ClassVar[tuple[str, ...]] = ()

    def configured(self, **settings: Any) -> Family:
        """Return the family with the settings that are its own."""
        return type(self)(**settings) if settings else self

    def set_head(self, config: Any, num_labels: int) -> None:  # noqa: B027
        """Tell the model's config what its head shall be; nothing where it needs no telling."""

    def texts(self, rows: Iterable[Any]) -> Iterator[str]:
        """Yield the rows' texts, of which a model without a tokenizer gets one made."""
        yield from ()

    def encode(self, tokenizer: Any, rows: Sequence[Any], max_length: int) -> Encoded:
        """Turn rows of the task into examples of at most `max_length` tokens, labels included.

        Args:
            tokenizer: of the model, or whatever else `preparer` names; None where it names none.
            rows: of one part of the data.
            max_length: of the cell's settings.

        Raises:
            UserError: the family is a bare shape so far.
        """
        raise UserError(f"tasks of the family {self.name} have no data here, only a shape")

    def encode_evaluation(
        self, tokenizer: Any, rows: Sequence[Any], max_length: int, generation: Generation | None
    ) -> Encoded:
        """Turn rows into examples to evaluate on: those that training sees, unless overridden.

        Args:
            tokenizer: as for `encode`.
            rows: of an evaluation.
            max_length: of the cell's settings.
            generation: how answers to the rows are generated; None: one forward pass evaluates.
        """
        return self.encode(tokenizer, rows, max_length)

    def augmented(self, data: Any, seed: int, epoch: int) -> Encoded:
        """Return training examples as one epoch sees them, of the same number and shapes.

        They are what they are, unless a family draws something for each (augmentation): by the
        seed, the epoch and an example's number alone, so that a resumed run, and every method, sees
        the same.

        Args:
            data: as `encode` returned it.
            seed: of the cell.
            epoch: from 0.
        """
        examples: Encoded = data
        return examples

    @abstractmethod
    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return a batch as `Encoded.batch` would, on torch's current device, without values.

        Args:
            model: the inputs are those that its tokenizer or processor would make.
            shape: of the batch.
            mask: whether there is padding, so that the model gets an attention mask.
            dtype: of the model's weights, for inputs that are not ids.
        """

    def assumed(self, model: nn.Module) -> list[str]:
        """Say what of a batch without values was assumed, because the model does not tell."""
        return []

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the loss with label smoothing, in place of the model's own."""
        raise NotImplementedError(f"{self.name} has no label smoothing")

    def inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a batch without its labels."""
        return {name: value for name, value in batch.items() if name not in self.label_names}

    def prediction_inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what `predict` takes of a batch: no labels, unless they are what is predicted."""
        return self.inputs(batch)

    def positions(self, shape: BatchShape, generation: Generation | None) -> int:
        """Return how many positions a model needs for a batch of this shape, or to answer it."""
        return shape.length

    def predict(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what evaluation keeps of a batch, one row an example: its logits, in float32.

        Called without gradients, in eval mode.
        """
        logits: Tensor = model(**inputs).logits
        return logits.float()

    def generate(
        self, model: nn.Module, inputs: Mapping[str, Tensor], generation: Generation
    ) -> Tensor:
        """Return what evaluation keeps of a batch: one row of new tokens (B, N) an example.

        Called as `predict`, for tasks that say how answers are generated.

        Raises:
            UserError: the family generates nothing.
        """
        raise UserError(f"a model of the family {self.name} generates no answers")

    def predictions(self, kept: Sequence[Tensor], data: Encoded) -> Any:
        """Turn what `predict` kept, in the order of the examples, into what the task scores."""
        raise UserError(f"tasks of the family {self.name} are not evaluated here")

    def references(self, data: Encoded) -> Any:
        """Return what the task scores predictions against."""
        raise UserError(f"tasks of the family {self.name} are not evaluated here")
