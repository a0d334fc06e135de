"""Rows forecast again with a loss or a loop that no words of their source and no setting tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.suite.cell import Cell
from measured.rows import Row

Forward = Callable[..., Any]


@dataclass(frozen=True)
class Trial:
    """One other way in which rows may have been run.

    Attributes:
        rows: how their names begin.
        said: what is other, as the page tells it.
        outputs: as in `train.outputs`.
        patch: the class of transformers whose loss is another; empty: the installed one's.
        fp32: that loss turns the logits to fp32; else it takes them as they are.
    """

    rows: str
    said: str
    outputs: str = "dropped"
    patch: str = ""
    fp32: bool = False

    def cell(self, cell: Cell) -> Cell:
        """Return the cell as it is run here."""
        train = cell.train.model_copy(update={"outputs": self.outputs})
        return cell.model_copy(update={"train": train})


SHIFTED = "logits in fp32 and a shifted copy of them"
# Rows of transformers 4.45 to 4.48, by the class of their model.
OLDER = {
    "GraniteForCausalLM": [f"fms/a100_80gb_granite#{number}/" for number in (2, 6, 8, 10, 22, 26)],
    "MistralForCausalLM": ["fms/a100_80gb#78/", "fms/a100_80gb#102/"],
    "LlamaForCausalLM": [f"fms/a100_80gb_liger#{number}/" for number in (8, 9, 16, 17, 24, 25)],
}
TRIALS = (
    *(Trial(rows, SHIFTED, patch=kind, fp32=True) for kind, all_ in OLDER.items() for rows in all_),
    Trial("fms/a100_80gb#2/", "loss of a shifted copy of the logits in their own 16 bits",
          patch="GPTBigCodeForCausalLM"),
    Trial("fms/a100_80gb#2/", "the same, outputs alive through backward", "step",
          patch="GPTBigCodeForCausalLM"),
)  # fmt: skip


def rows_of(trial: Trial, rows: Sequence[Row]) -> list[Row]:
    """Return the peaks among the rows that a trial is of."""
    return [
        row for row in rows
        if f"{row.name}/".startswith(trial.rows) and row.figure.startswith("peak")
    ]  # fmt: skip


@contextmanager
def patched(trial: Trial, cell: Cell) -> Iterator[None]:
    """Put the trial's loss in its class's place; processes that are forked meanwhile have it."""
    if not trial.patch:
        yield
        return
    import transformers

    owner = getattr(transformers, trial.patch)
    original = owner.forward
    fused = "cross_entropy" in cell.train.liger_kernels
    owner.forward = _forward(fp32=trial.fp32, fused=fused)
    try:
        yield
    finally:
        owner.forward = original


def _forward(*, fp32: bool, fused: bool) -> Forward:
    """Return a language model's forward whose loss is of a shifted copy of its logits.

    Args:
        fp32: the logits are turned to fp32 first.
        fused: cross-entropy is Liger's kernel, which writes over what it is given.
    """

    def forward(model: Any, input_ids: Any, labels: Any = None, **kwargs: Any) -> Mapping[str, Any]:
        from torch.nn.functional import cross_entropy
        from transformers.modeling_outputs import CausalLMOutputWithPast

        from harness.tasks.families.sequences import IGNORED
        from harness.training import liger

        outputs = model.base_model(input_ids=input_ids, **kwargs)
        logits = model.lm_head(outputs[0])
        if scaling := getattr(model.config, "logits_scaling", None):
            logits = logits / scaling
        loss = None
        if fp32:
            logits = logits.float()
        if labels is not None:
            shifted = logits[..., :-1, :].contiguous().flatten(0, 1)
            wanted = labels[..., 1:].contiguous().flatten()
            loss = (
                liger.functions().cross_entropy(shifted, wanted, None, IGNORED)[0] if fused
                else cross_entropy(shifted, wanted)
            )  # fmt: skip
        found: Mapping[str, Any] = CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=outputs.past_key_values
        )
        return found

    return forward
