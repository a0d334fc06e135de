"""Which entries of a matrix matter: scores of SparseAdapter, and masks that keep the highest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from methods import surgery

if TYPE_CHECKING:
    from torch import Tensor, nn

Matrices = Mapping[str, "nn.Parameter"]
Scores = dict[str, "Tensor"]  # one per matrix, in its shape
Batches = Iterable[Mapping[str, "Tensor"]]

# GraSP's own code divides logits by it, so that the softmax is close to uniform; SparseAdapter's
# has the number and never uses it.
TEMPERATURE = 200.0


def random(matrices: Matrices, seed: int) -> Scores:
    """Draw from N(0, 1), on the host: every device gets the same."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(p.shape, generator=generator).to(p.device) for name, p in matrices.items()
    }


def magnitude(matrices: Matrices) -> Scores:
    """Return |P|."""
    return {name: p.detach().abs().float() for name, p in matrices.items()}


def snip(matrices: Matrices, gradients: Mapping[str, Tensor]) -> Scores:
    """Return |g * P|, which is |dL/dM| at M = 1 where the model runs with P * M (SNIP, eq. 6).

    The paper divides by the sum, which changes no order.
    """
    return {name: (gradients[name] * p.detach()).abs().float() for name, p in matrices.items()}


def snip_on(model: nn.Module, matrices: Matrices, batches: Batches) -> Scores:
    """Return SNIP's scores for the mean loss over all examples of `batches`, in eval mode."""
    return snip(matrices, _sum_over(model, matrices, batches, torch.autograd.grad))


def grasp(model: nn.Module, matrices: Matrices, batches: Batches) -> Scores:
    """Return P * (H g), with g and H of the mean loss whose logits are divided by 200.

    High scores stay, as in SparseAdapter's released code; the division is GraSP's own, which that
    code leaves out. Each batch goes through in two halves, as there: that bounds the memory of
    second derivatives and changes nothing, g and H g being sums.
    """
    halves = [part for batch in batches for part in _halves(batch)]
    with _divided_logits(model):
        g = list(_sum_over(model, matrices, halves, torch.autograd.grad).values())

        def hessian_times_g(loss: Tensor, parameters: Sequence[Tensor], **options: Any) -> Any:
            first = torch.autograd.grad(loss, parameters, create_graph=True, **options)
            product = torch.stack([(a * b).sum() for a, b in zip(first, g, strict=True)]).sum()
            return torch.autograd.grad(product, parameters, **options)

        hg = _sum_over(model, matrices, halves, hessian_times_g)
    return {name: (hg[name] * p.detach()).float() for name, p in matrices.items()}


def _sum_over(
    model: nn.Module, matrices: Matrices, batches: Batches, derive: Callable[..., Any]
) -> dict[str, Tensor]:
    """Return the mean over examples of what `derive(loss, matrices)` gives per batch.

    Runs in eval mode and leaves the mode, `.grad` and random states as they were.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    parameters = list(matrices.values())
    sums = [torch.zeros_like(p) for p in parameters]
    examples, was_training = 0, model.training
    model.eval()
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no second derivative
        for batch in batches:
            size = len(next(iter(batch.values())))
            derivatives = derive(model(**batch).loss, parameters, materialize_grads=True)
            for total, part in zip(sums, derivatives, strict=True):
                total.add_(part, alpha=size)
            examples += size
    model.train(was_training)
    return {name: total / max(1, examples) for name, total in zip(matrices, sums, strict=True)}


def _halves(batch: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    parts = {key: tensor.chunk(2) for key, tensor in batch.items()}
    for index in range(len(next(iter(parts.values())))):
        yield {key: chunks[index] for key, chunks in parts.items()}


@contextmanager
def _divided_logits(model: nn.Module) -> Iterator[None]:
    """Divide what the head puts out, so that the model's own loss, whatever it is, sees it."""
    head = surgery.output_module(model)
    hook = head.register_forward_hook(lambda module, args, logits: logits / TEMPERATURE)
    try:
        yield
    finally:
        hook.remove()


def erdos_renyi(shapes: Mapping[str, Sequence[int]], keep: float) -> dict[str, int]:
    """Return how many entries of each matrix stay: round(keep N) in all.

    A matrix's share is in proportion to (n_in + n_out) / (n_in n_out); what a share above 1 has
    too much goes to the others. Rounded down, with what is left over to the largest remainders.
    """
    sizes = {name: rows * columns for name, (rows, columns) in shapes.items()}
    left, unfilled, counts = round(keep * sum(sizes.values())), dict(sizes), dict.fromkeys(sizes, 0)
    quotas: dict[str, float] = {}
    while unfilled:
        scale = left / sum(sum(shapes[name]) for name in unfilled)
        quotas = {name: scale * sum(shapes[name]) for name in unfilled}
        full = [name for name in unfilled if quotas[name] >= sizes[name]]
        if not full:
            break
        for name in full:
            counts[name] = unfilled.pop(name)
            left -= counts[name]
    counts |= {name: int(quotas[name]) for name in unfilled}
    rest = left - sum(counts[name] for name in unfilled)
    for name in sorted(unfilled, key=lambda name: counts[name] - quotas[name])[:rest]:
        counts[name] += 1
    return counts


def keep_highest(scores: Scores, count: int) -> dict[str, Tensor]:
    """Return masks that are true at the `count` highest scores; of equal ones the first stay.

    Raises:
        ValueError: fewer scores than that differ from 0, so that they do not say what to keep, or
            some are not finite.
    """
    flat = torch.cat([score.flatten() for score in scores.values()])
    if not bool(flat.isfinite().all()):
        raise ValueError("scores are not finite: the loss or its gradient overflows")
    useful = int(flat.count_nonzero())
    if useful < count < len(flat):
        raise ValueError(
            f"only {useful} of {len(flat)} scores differ from 0, and {count} entries are to stay: "
            "the others would be picked for their place alone. Scores that multiply by a tensor "
            "at 0 or by a gradient at 0 are 0; set score_after to some steps of warm-up, or "
            "pruner: rand"
        )
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    mask[flat.argsort(descending=True, stable=True)[:count]] = True
    parts = torch.split(mask, [score.numel() for score in scores.values()])
    return {
        name: part.view(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }
