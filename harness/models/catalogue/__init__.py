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
    "bert-large-uncased": "bert-large-uncased",
    "roberta-base": "roberta-base",
    "roberta-large": "roberta-large",
    "xlm-roberta-base": "xlm-roberta-base",
    "xlm-roberta-large": "xlm-roberta-large",
    "distilbert-base-uncased": "distilbert-base-uncased",
    "gpt2": "gpt2",
    "t5-small": "t5-small",
    "t5-base": "t5-base",
    "t5-large": "t5-large",
    "meta-llama/Llama-2-7b-chat-hf": "llama-2-7b",
    "meta-llama/Llama-2-13b-chat-hf": "llama-2-13b",
    "meta-llama/Llama-2-70b-chat-hf": "llama-2-70b",
    "meta-llama/Meta-Llama-3-8B-Instruct": "llama-3-8b",
    "meta-llama/Meta-Llama-3.1-8B": "llama-3.1-8b",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "meta-llama/Llama-3.1-70B-Instruct": "llama-3.1-70b",
    "meta-llama/Llama-3.3-70B-Instruct": "llama-3.1-70b",
    "meta-llama/Llama-3.2-1B-Instruct": "llama-3.2-1b",
    "meta-llama/Llama-3.2-3B-Instruct": "llama-3.2-3b",
    "unsloth/Llama-3.2-1B": "llama-3.2-1b",
    "unsloth/Llama-3.2-3B": "llama-3.2-3b",
    "Qwen/Qwen2.5-0.5B-Instruct": "qwen2.5-0.5b",
    "Qwen/Qwen2.5-1.5B-Instruct": "qwen2.5-1.5b",
    "Qwen/Qwen2.5-3B-Instruct": "qwen2.5-3b",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2.5-7b",
    "Qwen/Qwen2.5-14B-Instruct": "qwen2.5-14b",
    "Qwen/Qwen2.5-32B-Instruct": "qwen2.5-32b",
    "Qwen/Qwen3-0.6B-Base": "qwen3-0.6b",
    "Qwen/Qwen3-1.7B-Base": "qwen3-1.7b",
    "Qwen/Qwen3-4B-Base": "qwen3-4b",
    "Qwen/Qwen3-8B-Base": "qwen3-8b",
    "Qwen/Qwen3-14B-Base": "qwen3-14b",
    "google/gemma-2-2b-it": "gemma-2-2b",
    "google/gemma-2-9b-it": "gemma-2-9b",
    "google/gemma-3-270m-it": "gemma-3-270m",
    "google/gemma-3-1b-it": "gemma-3-1b",
    "google/gemma-3-4b-it": "gemma-3-4b",
    "google/gemma-3-12b-it": "gemma-3-12b",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral-7b-v0.3",
    "mistralai/Mistral-7B-Instruct-v0.1": "mistral-7b-v0.1",
    "mistralai/Mistral-Nemo-Instruct-2407": "mistral-nemo",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "mixtral-8x7b",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m",
    "HuggingFaceTB/SmolLM2-360M-Instruct": "smollm2-360m",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": "smollm2-1.7b",
    "HuggingFaceTB/SmolLM3-3B": "smollm3-3b",
    "allenai/OLMo-2-0425-1B-Instruct": "olmo-2-1b",
    "allenai/OLMo-2-1124-7B-Instruct": "olmo-2-7b",
    "ibm-granite/granite-3.3-2b-base": "granite-3.3-2b",
    "ibm-granite/granite-3.3-8b-base": "granite-3.3-8b",
}
__all__ = ["CATALOGUE", "SAME", "Architecture", "Published"]
