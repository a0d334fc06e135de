"""What a bottleneck adapter may be."""

from __future__ import annotations

from typing import Literal

Activation = Literal["relu", "gelu", "swish", "tanh"]
Init = Literal["bert", "houlsby", "zero-up"]
