"""Adapters of low rank as one plain LoRA, where peft would not read their own folder as it was.

AdaLoRA's triplets, once its allocator has ended, and initialisations that take their part out of
the base weights (PiSSA, OLoRA) are, beside the base model as it comes, matrices of low rank: for a
target with base weight W, W' after attaching and an adapter s B A,

    W' + s B A = W + [B, U] [s A; V],  U V = W' - W,

where U V has the rank that the initialisation took out (none for AdaLoRA).

Where the targets are parts of one layer (GPT-2's query and value), that layer's LoRA has the parts'
A below one another, and their B in the rows of each part: its rank is the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.export.peft_folder import Trained, changed, head_of, same, write_files
from harness.export.recipe import named_tensors
from methods import slices

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor, nn

Factors = tuple["Tensor", "Tensor"]
CLOSE = 1e-5  # largest deviation of a weight, as a share of its matrix's largest
OVERSAMPLING, ITERATIONS = 8, 4  # of the randomised SVD (Halko et al., 2011)


def write_lora(folder: Path, ours: Trained) -> str | None:
    """Write the adapter as a plain LoRA, for `peft_folder.tried`."""
    from peft import LoraConfig

    given: Any = ours.peft.peft_config["default"]
    if reason := _more_than_low_rank(given):
        return reason
    fresh, layers = ours.base(), dict(_layers(ours.peft))
    pairs = _whole(fresh, _factors(layers, fresh))
    ranks = {name: len(a) for name, (a, _) in pairs.items()}
    weights = {f"base_model.model.{name}.lora_{key}.weight": tensor for name, pair in pairs.items()
               for key, tensor in zip("AB", pair, strict=True)}  # fmt: skip
    most = max(ranks.values(), default=1)
    others = {name: rank for name, rank in ranks.items() if rank != most}
    config = LoraConfig(
        r=most,
        lora_alpha=most,
        target_modules=list(pairs),
        rank_pattern=others,
        alpha_pattern=dict(others),
        fan_in_fan_out=given.fan_in_fan_out,
    )
    write_files(folder, config, weights, ours)
    return _difference(layers, ours, fresh, folder)


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


def _factors(layers: Mapping[str, Any], base: nn.Module) -> dict[str, Factors]:
    """Return A (r, d_in) and B (d_out, r) of each target."""
    factors: dict[str, Factors] = {}
    for name, layer in layers.items():
        a, b = (_tensor(layer, key) for key in ("lora_A", "lora_B"))
        factor = layer.scaling["default"]
        if "default" in getattr(layer, "lora_E", {}):
            a, factor = (
                a * _tensor(layer, "lora_E"),
                factor / (float(layer.ranknum["default"]) + 1e-5),
            )
        before, after = _weight(base, name), layer.get_base_layer().weight.detach().cpu()
        parts = [(factor * a, b)]
        if not torch.equal(before, after):
            moved = after.float() - before.float()
            parts.append(_low_rank(moved.T if layer.fan_in_fan_out else moved, len(a)))
        factors[name] = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts], 1)
    return factors


def _weight(base: nn.Module, name: str) -> Tensor:
    """Return the weight of a target in the base model: of a part, what it has of the whole."""
    home, layout = slices.home_of(base, name)
    if layout is None:
        return named_tensors(base)[f"{name}.weight"]
    dim = slices.outputs_dim(base.get_submodule(home))
    weight = named_tensors(base)[f"{home}.weight"]
    return slices.part_of(weight, layout, name.rpartition(".")[2], dim)


def _whole(base: nn.Module, factors: Mapping[str, Factors]) -> dict[str, Factors]:
    """Return the same, with the parts of one layer as that layer's."""
    found: dict[str, Factors] = {}
    for name, (a, b) in factors.items():
        home, layout = slices.home_of(base, name)
        if layout is None:
            found[name] = a, b
            continue
        place = layout.names.index(name.rpartition(".")[2])
        unit = len(b) // layout.units[place]
        others = [b.new_zeros(units * unit, b.shape[1]) for units in layout.units]
        rows = slices.joined([*others[:place], b, *others[place + 1 :]], layout, 0)
        before = found.get(home)
        found[home] = (a, rows) if before is None else (
            torch.cat([before[0], a]), torch.cat([before[1], rows], 1))  # fmt: skip
    return found


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
    layers: Mapping[str, Any], ours: Trained, fresh: nn.Module, folder: Path
) -> str | None:
    """Return the first weight of the loaded model that is another one, up to rounding."""
    from peft import PeftModel

    homes = [slices.home_of(fresh, name) for name in layers]
    targets = {f"{name}.weight" for name in [*layers, *(home for home, layout in homes if layout)]}
    plain = {n: t for n, t in named_tensors(fresh).items() if n not in targets}
    if reason := changed(named_tensors(ours.peft), plain, ours.names):
        return reason
    again = PeftModel.from_pretrained(fresh, folder)
    loaded = dict(_layers(again))
    for name, theirs in ((name, _merged(layer)) for name, layer in loaded.items()):
        mine = _trained(ours.peft, layers, name)
        if float((mine - theirs).abs().max()) > CLOSE * float(mine.abs().max()):
            return f"{name} is no base weight and a LoRA"
    heads = (head_of(peft, ours.names).values() for peft in (ours.peft, again))
    return (
        None if all(same(*pair) for pair in zip(*heads, strict=True)) else "the head is another one"
    )


def _trained(peft: PeftModel, layers: Mapping[str, Any], name: str) -> Tensor:
    """Return the weight of a layer with its adapter, or with those of its parts."""
    if name in layers:
        return _merged(layers[name])
    inner: Any = peft.base_model.model
    opened = inner.get_submodule(name)
    weights = [_merged(part) if f"{name}.{key}" in layers else part.weight.detach().float().cpu()
               for key, part in opened.named_children()]  # fmt: skip
    first = next(opened.children())
    return slices.joined(weights, opened.layout, slices.outputs_dim(first))


def _merged(layer: Any) -> Tensor:
    weight: Tensor = layer.get_base_layer().weight.detach() + layer.get_delta_weight("default")
    return weight.detach().float().cpu()
