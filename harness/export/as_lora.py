"""Adapters of low rank as one plain LoRA, where peft would not read their own folder as it was.

AdaLoRA's triplets, once its allocator has ended, and initialisations that take their part out of
the base weights (PiSSA, OLoRA) are, beside the base model as it comes, matrices of low rank: for a
target with base weight W, W' after attaching and an adapter s B A,

    W' + s B A = W + [B, U] [s A; V],  U V = W' - W,

where U V has the rank that the initialisation took out (none for AdaLoRA).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.export.peft_folder import changed, head_of, remove, same, write_files
from harness.export.recipe import named_tensors

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor, nn

CLOSE = 1e-5  # largest deviation of a weight, as a share of its matrix's largest
OVERSAMPLING, ITERATIONS = 8, 4  # of the randomised SVD (Halko et al., 2011)


def write_lora(
    folder: Path,
    peft: PeftModel,
    trained: Collection[str],
    source: str,
    base: Callable[[], nn.Module],
) -> str | None:
    """Write peft's folder of a plain LoRA; then load it with peft, and compare.

    Args: as `peft_folder.write_peft`.

    Returns:
        None, or why there is no such LoRA; the folder then holds nothing of it.
    """
    from peft import LoraConfig, PeftModel

    given: Any = peft.peft_config["default"]
    if reason := _more_than_low_rank(given):
        return reason
    fresh = base()
    plain, layers = named_tensors(fresh), dict(_layers(peft))
    try:
        ranks, weights = _factors(layers, plain)
        most = max(ranks.values(), default=1)
        config = LoraConfig(
            r=most,
            lora_alpha=most,
            target_modules=list(layers),
            rank_pattern={name: r for name, r in ranks.items() if r != most},
            alpha_pattern={name: r for name, r in ranks.items() if r != most},
            fan_in_fan_out=given.fan_in_fan_out,
        )
        write_files(folder, config, weights, head_of(peft, trained), source)
        reason = _difference(layers, peft, trained, fresh, folder, PeftModel)
    except Exception as error:  # whatever peft cannot build or read
        reason = f"{type(error).__name__}: {error}"
    if reason is not None:
        remove(folder)
    return reason


def _more_than_low_rank(config: Any) -> str | None:
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if kind not in {"LORA", "ADALORA"}:
        return f"adapters of type {kind} are no LoRA"
    for option in ("use_dora", "lora_bias", "target_parameters", "modules_to_save"):
        if getattr(config, option, None):
            return f"{option} is more than a matrix of low rank"
    return None if config.bias == "none" else f"bias: {config.bias} trains beside the adapters"


def _layers(peft: PeftModel) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    inner: Any = peft.base_model.model
    for name, module in inner.named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name, module


def _factors(
    layers: Mapping[str, Any], plain: Mapping[str, Tensor]
) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Return each target's rank, and A and B by peft's names."""
    ranks: dict[str, int] = {}
    weights: dict[str, Tensor] = {}
    for name, layer in layers.items():
        a, b = (_tensor(layer, key) for key in ("lora_A", "lora_B"))
        factor = layer.scaling["default"]
        if "default" in getattr(layer, "lora_E", {}):
            a, factor = (
                a * _tensor(layer, "lora_E"),
                factor / (float(layer.ranknum["default"]) + 1e-5),
            )
        before, after = plain[f"{name}.weight"], layer.get_base_layer().weight.detach().cpu()
        parts = [(factor * a, b)]
        if not torch.equal(before, after):
            moved = after.float() - before.float()
            parts.append(_low_rank(moved.T if layer.fan_in_fan_out else moved, len(a)))
        weights[f"base_model.model.{name}.lora_A.weight"] = torch.cat([p[0] for p in parts])
        weights[f"base_model.model.{name}.lora_B.weight"] = torch.cat([p[1] for p in parts], 1)
        ranks[name] = sum(len(p[0]) for p in parts)
    return ranks, weights


def _tensor(layer: Any, key: str) -> Tensor:
    held = getattr(layer, key)["default"]
    tensor: Tensor = held if isinstance(held, torch.Tensor) else held.weight
    return tensor.detach().float().cpu()


def _low_rank(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return V (rank, columns) and U (rows, rank) with U V = matrix, where it has this rank."""
    q = min(rank + OVERSAMPLING, *matrix.shape)
    left, values, right = torch.svd_lowrank(matrix, q=q, niter=ITERATIONS)
    root = values[:rank].sqrt()
    return (right[:, :rank] * root).T.contiguous(), left[:, :rank] * root


def _difference(
    layers: Mapping[str, Any],
    peft: PeftModel,
    trained: Collection[str],
    fresh: nn.Module,
    folder: Path,
    kind: Any,
) -> str | None:
    """Return the first weight of the loaded model that is another one, up to rounding."""
    targets = {f"{name}.weight" for name in layers}
    plain = {n: t for n, t in named_tensors(fresh).items() if n not in targets}
    if reason := changed(named_tensors(peft), plain, trained):
        return reason
    again = kind.from_pretrained(fresh, folder)
    loaded = dict(_layers(again))
    for name, layer in layers.items():
        ours, theirs = _merged(layer), _merged(loaded[name])
        if float((ours - theirs).abs().max()) > CLOSE * float(ours.abs().max()):
            return f"{name} is no base weight and a LoRA"
    heads = zip(head_of(peft, trained).values(), head_of(again, trained).values(), strict=True)
    return None if all(same(*pair) for pair in heads) else "the head is another one"


def _merged(layer: Any) -> Tensor:
    weight: Tensor = layer.get_base_layer().weight.detach() + layer.get_delta_weight("default")
    return weight.detach().float().cpu()
