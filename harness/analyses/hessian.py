"""How sharp the minimum is that a run ended in: the largest eigenvalues of the loss' Hessian."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from harness.analyses.base import Analysis, Found, Study, Subject
from harness.analyses.parameters import MEANING, Over, only_these_train, tensors_over

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.analyses.base import Weighed
    from methods.base import Method


class Hessian(Analysis):
    """The largest eigenvalues of the training loss' Hessian, by Lanczos; SAFE's Fig. 7.

    Products with vectors are exact, by differentiating twice (Pearlmutter, 1994). The loss is the
    mean over a fixed choice of training examples as they train, with dropout off and without what
    the method adds to it. A method that freezes has fewer tensors left that train, and the Hessian
    over fewer tensors cannot have a larger eigenvalue: compare methods over `trained`.
    """

    name: ClassVar[str] = "hessian"
    exact: ClassVar[bool] = True

    over: tuple[Over, ...] = Field(("trained",), min_length=1, description=MEANING)
    top: PositiveInt = Field(5, description="eigenvalues, the largest first")
    examples: PositiveInt = Field(256, description="training examples that the loss is over")
    iterations: PositiveInt = Field(
        80, description="products at most; so many vectors as long as the tensors stay in memory"
    )
    tolerance: PositiveFloat = Field(
        1e-3, lt=1, description="largest residual, as a share of the largest |eigenvalue|"
    )
    batch_size: PositiveInt | None = Field(
        None, description="examples of a pass, which keeps two passes' graphs; null: training's"
    )

    @field_validator("over")
    @classmethod
    def _each_once(cls, value: tuple[Over, ...]) -> tuple[Over, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"each of them once: {', '.join(value)}")
        return value

    def obstacle(self, method: Method, attention: str, precision: str) -> str | None:
        """Say what has no second derivatives, or none that mean anything."""
        if attention == "flash_attention_2":
            return f"attention {attention} cannot be differentiated twice; sdpa and eager can"
        if precision not in {"fp32", "tf32", "bf16", "fp16"}:
            return f"precision {precision} rounds second derivatives away; bf16 has fp32 weights"
        why = method.obstacles().get("twice")
        return why and f"{method.name} cannot be differentiated twice: {why}"

    def begin(self) -> Study:
        """Return a study of the end."""
        return _HessianStudy(self)


class _HessianStudy(Study):
    def __init__(self, options: Hessian) -> None:
        self.options = options

    def conclude(self, subject: Subject) -> Found:
        """Look at each set of tensors; one that is the same as another's is looked at once."""
        options, known = self.options, dict[tuple[str, ...], dict[str, Any]]()
        batches = subject.sample(options.examples, options.batch_size or subject.batch_size)
        found = Found(content={"examples": options.examples, "over": {}})
        for over in options.over:
            tensors = tensors_over(subject, over)
            if not tensors:
                found.notes.append(f"over {over}: nothing is left, so there is no Hessian")
                continue
            names = tuple(tensors)
            if names not in known:
                known[names] = self._spectrum(subject, over, tensors, batches)
            found.content["over"][over] = known[names]
            found.headline[f"largest eigenvalue, {over}"] = known[names]["eigenvalues"][0]
            found.notes += _doubts(over, known[names])
        return found

    def _spectrum(
        self,
        subject: Subject,
        over: str,
        tensors: Mapping[str, nn.Parameter],
        batches: Sequence[Weighed],
    ) -> dict[str, Any]:
        import torch

        from harness.analyses.lanczos import lanczos

        chosen = list(tensors.values())
        count, size = 0, sum(p.numel() for p in chosen)

        def product(vector: Tensor) -> Tensor:
            nonlocal count
            count += 1
            subject.tell(f"hessian over {over}: product {count} of at most {options.iterations}")
            return hessian_times(vector, chosen, subject, batches)

        def start(number: int) -> Tensor:
            # On the host, so that a GPU of another kind starts with the same.
            generator = torch.Generator().manual_seed(subject.seed * 1009 + number)
            drawn = torch.randn(size, generator=generator, dtype=torch.float64)
            return drawn.to(device=subject.device, dtype=chosen[0].dtype)

        options = self.options
        with only_these_train(subject.model, chosen), twice_differentiable():
            found = lanczos(
                product, start, top=options.top, most=options.iterations,
                tolerance=options.tolerance,
            )  # fmt: skip
        return {"parameters": size, "tensors": len(chosen), "eigenvalues": found.values,
                "residuals": found.residuals, "lowest": found.lowest,
                "lowest_residual": found.lowest_residual, "products": found.steps,
                "converged": found.converged, "asymmetry": found.asymmetry}  # fmt: skip


def hessian_times(
    vector: Tensor,
    tensors: Sequence[nn.Parameter],
    subject: Subject,
    batches: Sequence[Weighed],
) -> Tensor:
    """Return H v for the Hessian H of the sample's mean loss over these tensors, laid end to end.

    Args:
        vector: (n,), n the number of elements of all tensors.
        tensors: those that train, and no others.
        subject: gives the loss.
        batches: of the sample.
    """
    import torch

    parts = torch.split(vector, [p.numel() for p in tensors])
    along = [part.view_as(p) for part, p in zip(parts, tensors, strict=True)]
    total = torch.zeros_like(vector)
    for batch in batches:
        loss = subject.loss(batch.inputs) * batch.share
        slopes = torch.autograd.grad(loss, tensors, create_graph=True, materialize_grads=True)
        slope = sum((g * v).sum() for g, v in zip(slopes, along, strict=True))
        if isinstance(slope, torch.Tensor) and slope.requires_grad:
            curves = torch.autograd.grad(slope, tensors, materialize_grads=True)
            total += torch.cat([curve.reshape(-1) for curve in curves])
    return total


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Compute attention by the one kernel of sdpa that has second derivatives."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


def _doubts(over: str, found: Mapping[str, Any]) -> list[str]:
    """Say what speaks against the figures."""
    if found["converged"]:
        return []
    worst = max(found["residuals"]) / max(abs(found["eigenvalues"][0]), abs(found["lowest"]))
    return [
        f"over {over}: not converged after {found['products']} products: the largest residual is "
        f"{worst:.1e} of the largest eigenvalue; iterations is the limit"
    ]
