"""Public architectures as data: what `model: {config: NAME}` builds, with random weights.

Values are those of each model's public config.json; what is not written here is the default of
its transformers config class. The numbers of parameters that others publish are those that the
entries build (tests/models/test_catalogue.py). Loading this imports no torch.
"""

from __future__ import annotations

from harness.models.catalogue.decoders import DECODERS
from harness.models.catalogue.encoders import ENCODERS
from harness.models.catalogue.entry import Architecture, Published
from harness.models.catalogue.images import IMAGES
from harness.models.catalogue.mixtures import MIXTURES
from harness.models.catalogue.more_decoders import MORE_DECODERS
from harness.models.catalogue.same import SAME, entry_of, quantized
from harness.models.catalogue.seeing import SEEING
from harness.models.catalogue.seq2seq import SEQ2SEQ
from harness.models.catalogue.tiny import TINY

CATALOGUE: dict[str, Architecture] = {
    **ENCODERS, **DECODERS, **MORE_DECODERS, **MIXTURES, **SEEING, **SEQ2SEQ, **IMAGES, **TINY,
}  # fmt: skip
SOURCES = {entry.source: name for name, entry in CATALOGUE.items() if entry.source}


def find(hub: str) -> str | None:
    """Return the name of the entry that a model of the hub is, None where there is none."""
    return entry_of(hub, SOURCES)


__all__ = ["CATALOGUE", "SAME", "Architecture", "Published", "find", "quantized"]
