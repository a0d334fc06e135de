"""What `train.attention` may be, and what it means to transformers and to torch.

| value             | transformers                              | torch                      |
|-------------------|-------------------------------------------|----------------------------|
| auto              | what it takes by itself: sdpa, else eager | any of sdpa's kernels      |
| eager             | eager                                     |                            |
| sdpa              | sdpa                                      | any of its kernels         |
| {sdpa: KERNEL}    | sdpa                                      | this kernel, or an error   |
| flash_attention_2 | flash_attention_2                         | the package flash-attn     |

A pinned kernel is one word from here on: `{sdpa: efficient}` is `sdpa-efficient`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from methods.wording import nearest, shortened

if TYPE_CHECKING:
    from torch import nn

AUTO, FLASH = "auto", "flash_attention_2"
FLASH_PACKAGE = "flash-attn"
PLAIN = (AUTO, "eager", "sdpa", FLASH)
KERNELS = ("flash", "efficient", "math", "cudnn")
ON_CPU = ("flash", "math")  # the first is its fused kernel, under the name that torch has for it
_PINNED = "sdpa-"


def spelled(value: Any) -> Any:
    """Return `{sdpa: KERNEL}` as one word, and anything else as it is.

    Raises:
        ValueError: there is no such kernel, or of no such attention.
    """
    if not isinstance(value, Mapping):
        return value
    if len(value) != 1 or "sdpa" not in value:
        raise ValueError(
            f"a mapping pins a kernel of sdpa, such as {{sdpa: efficient}} (given: "
            f"{shortened(value)})"
        )
    kernel = value["sdpa"]
    if kernel not in KERNELS:
        raise ValueError(f"sdpa has no kernel {shortened(kernel)}; {nearest(str(kernel), KERNELS)}")
    return f"{_PINNED}{kernel}"


Attention = Annotated[
    Literal[
        "auto", "eager", "sdpa", "flash_attention_2",
        "sdpa-flash", "sdpa-efficient", "sdpa-math", "sdpa-cudnn",
    ],
    BeforeValidator(spelled),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [*PLAIN, *(f"{_PINNED}{kernel}" for kernel in KERNELS)]},
                {
                    "type": "object",
                    "properties": {"sdpa": {"enum": list(KERNELS)}},
                    "required": ["sdpa"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]  # fmt: skip


def pinned(attention: str) -> str | None:
    """Return the kernel of sdpa that is pinned; None: torch chooses."""
    return attention.removeprefix(_PINNED) if attention.startswith(_PINNED) else None


def written(attention: str) -> str:
    """Return the value as a suite writes it."""
    kernel = pinned(attention)
    return attention if kernel is None else f"{{sdpa: {kernel}}}"


def implementation(attention: str) -> str | None:
    """Return what transformers is asked for; None: nothing, and it takes what it takes."""
    if attention == AUTO:
        return None
    return attention if pinned(attention) is None else "sdpa"


def resolved(attention: str, model: nn.Module) -> str:
    """Return the value with the model's own implementation in place of `auto`."""
    if attention != AUTO:
        return attention
    config: Any = model.config
    own: str = config._attn_implementation
    return own


def canonical(attention: str) -> str:
    """Return the value that all of one meaning share in a cell's key: `auto` is as `sdpa`.

    Where a model has no sdpa the one runs and the other does not, so they never differ.
    """
    return "sdpa" if attention == AUTO else attention
