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
from harness.models.catalogue.more_decoders import MORE_DECODERS
from harness.models.catalogue.seq2seq import SEQ2SEQ
from harness.models.catalogue.tiny import TINY

CATALOGUE: dict[str, Architecture] = {
    **ENCODERS, **DECODERS, **MORE_DECODERS, **SEQ2SEQ, **IMAGES, **TINY,
}  # fmt: skip
# Other repositories of the hub whose models differ from these in no tensor but the head's.
SAME = {
    "yahma/llama-7b-hf": "llama-7b",
    "google/vit-base-patch16-224-in21k": "vit-base-patch16-224",
    "google/vit-large-patch16-224-in21k": "vit-large-patch16-224",
    "bert-base-uncased": "bert-base-uncased",
}
__all__ = ["CATALOGUE", "SAME", "Architecture", "Published"]
