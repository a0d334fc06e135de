"""Heads that a config.json says are not the embeddings, where its config class forgets it.

T5's, mT5's and their kin take `tie_word_embeddings: false` for another question and tie all the
same: the model that is built from such a config (FLAN-T5, mT5) has one table less than its weights,
and than what transformers loads from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.models.catalogue import CATALOGUE
from harness.models.files import local_folder

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec


def untie_head(spec: ModelSpec, model: Any) -> None:
    """Give the head a table of its own if the source's config says so and its class does not.

    It starts as a copy of the embeddings; weights that are loaded take its place.
    """
    from torch import nn

    head = model.get_output_embeddings()
    tied = head is not None and getattr(model.config, "tie_word_embeddings", False)
    if not tied or _said(spec).get("tie_word_embeddings") is not False:
        return
    table = model.get_input_embeddings()
    if head.weight is table.weight:
        head.weight = nn.Parameter(table.weight.detach().clone())
    name = next(name for name, module in model.named_modules() if module is head)
    # Of this model alone: whoever ties its weights again leaves the head out.
    model._tied_weights_keys = {
        key: source for key, source in model._tied_weights_keys.items() if key != f"{name}.weight"
    }
    model.all_tied_weights_keys.pop(f"{name}.weight", None)


def _said(spec: ModelSpec) -> dict[str, Any]:
    """Return the config as it is written."""
    if spec.config:
        return CATALOGUE[spec.config].config
    from transformers import PreTrainedConfig

    source = local_folder(spec) or spec.hub
    written, _ = PreTrainedConfig.get_config_dict(source, revision=spec.revision or "main")
    config: dict[str, Any] = written
    return config
