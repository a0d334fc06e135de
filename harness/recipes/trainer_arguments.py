"""transformers' `training_args.json`: what TrainingArguments.to_json_string writes, or as YAML.

It says how is trained, and not what: the model is given behind the file, and so are its weights'
type and a method where they are not what is assumed.
"""

from __future__ import annotations

from typing import Any

from harness.recipes.huggingface import (
    attention,
    autocast,
    checkpointing,
    distributed,
    evaluates,
    evaluation_batch,
    named_model,
    optimizer,
    steps,
)
from harness.recipes.keys import Keys
from harness.recipes.liger import liger
from harness.recipes.models import model_type
from harness.recipes.parts import precision, suite, tokens
from harness.recipes.recipe import Recipe
from harness.recipes.training_arguments import TRAINING, joined

LENGTH = 1024  # tokens; the file says none
KEYS = joined(
    Keys(
        acts="adafactor per_device_train_batch_size per_gpu_train_batch_size tf32",
        inert="distributed_state deepspeed_plugin n_gpu _n_gpu use_legacy_prediction_loop "
        "train_batch_size eval_batch_size",
    ),
    TRAINING,
)


def suite_of(recipe: Recipe) -> dict[str, Any]:
    """Return the suite's document; what it cannot say is noted in the recipe."""
    model = named_model(recipe)
    distributed(recipe)
    half = autocast(recipe)
    weights = "fp16" if half == "fp16" else "bf16"
    if half == "fp16":
        weights = "fp32"  # a scaler of the loss refuses gradients in fp16
        recipe.assume("weights are fp32, which fp16: true wants (dtype=torch.float32)")
    else:
        recipe.assume("weights are loaded in bf16, as most checkpoints are and transformers 5 "
                      "loads them (train.weights=fp32 behind the file says otherwise)")  # fmt: skip
    if recipe.flag("tf32") and half is None:
        recipe.assume("tf32: true is of fp32 weights alone")
    recipe.assume("everything trains (methods=[lora] behind the file says otherwise)")
    recipe.assume(f"the longest example has {LENGTH} tokens (train.max_length=N says otherwise)")
    batch = recipe.whole("per_gpu_train_batch_size") or 0  # the older name, which goes before
    batch = batch or recipe.count("per_device_train_batch_size", 8)
    train = {
        **precision(weights, half or weights, autocast=half is not None, adapters="fp32"),
        **_optimizer(recipe),
        **liger(recipe, model_type(model)),
        **checkpointing(recipe),
        **attention(recipe),
        **steps(recipe),
        **evaluation_batch(recipe),
    }
    task = tokens(batch, LENGTH, "longest", evaluation=evaluates(recipe), mask=batch > 1)
    return suite(recipe, "transformers", model=model, task=task, method="full", train=train)


def _optimizer(recipe: Recipe) -> dict[str, Any]:
    """Return the optimizer; `adafactor: true` is an older word for one."""
    if recipe.flag("adafactor"):
        return {"optimizer": "adafactor"}
    return optimizer(recipe, "optim", "adamw_torch_fused")
