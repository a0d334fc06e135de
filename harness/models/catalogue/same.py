"""Repositories of the hub whose models differ from an entry's in no tensor but the head's."""

from __future__ import annotations

from collections.abc import Mapping

# Who copies repositories of others, and keeps their names.
MIRRORS = ("NousResearch", "unsloth", "alpindale", "mhenrichsen")
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
    "canopylabs/orpheus-3b-0.1-pretrained": "orpheus-3b",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-Base-BF16": "nemotron-3-nano-30b-a3b",
    "nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16": "nemotron-3-nano-30b-a3b",
    "google/gemma-4-12B-it": "gemma-4-12b",
    "google/gemma-4-31B-it": "gemma-4-31b",
    "google/gemma-4-26B-A4B-it": "gemma-4-26b-a4b",
    "TinyLlama/TinyLlama_v1.1": "tinyllama-1.1b",
    "01-ai/Yi-34B-Chat": "yi-34b",
    "casperhansen/llama-3-70b-fp16": "llama-3.1-70b",
    "meta-llama/Meta-Llama-3-70B": "llama-3.1-70b",
    "meta-llama/Meta-Llama-3-70B-Instruct": "llama-3.1-70b",
    "meta-llama/Meta-Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama/Meta-Llama-3.1-70B-Instruct": "llama-3.1-70b",
    "meta-llama/Meta-Llama-3.1-405B": "llama-3.1-405b",
    "meta-llama/Meta-Llama-3.1-405B-Instruct": "llama-3.1-405b",
    "meta-llama/Llama-3.1-405B-Instruct": "llama-3.1-405b",
    "meta-llama/Llama-3.2-11B-Vision-Instruct": "llama-3.2-11b-vision",
    "meta-llama/Llama-3.2-90B-Vision-Instruct": "llama-3.2-90b-vision",
    "neuralmagic/Sparse-Llama-3.1-8B-2of4": "llama-3.1-8b",
    "deepcogito/cogito-v1-preview-llama-3B": "llama-3.2-3b",
    "deepcogito/cogito-v1-preview-qwen-14B": "qwen2.5-14b",
    "agentica-org/DeepCoder-14B-Preview": "qwen2.5-14b",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": "qwen2.5-14b",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": "llama-3.1-8b",
    "codellama/CodeLlama-7b-Instruct-hf": "codellama-7b",
    "codellama/CodeLlama-13b-Instruct-hf": "codellama-13b",
    "codellama/CodeLlama-34b-Instruct-hf": "codellama-34b",
    "Qwen/Qwen2-0.5B": "qwen2.5-0.5b",
    "Qwen/Qwen2-0.5B-Instruct": "qwen2.5-0.5b",
    "Qwen/Qwen2-1.5B": "qwen2.5-1.5b",
    "Qwen/Qwen2-1.5B-Instruct": "qwen2.5-1.5b",
    "Qwen/Qwen2-7B": "qwen2.5-7b",
    "Qwen/Qwen2-7B-Instruct": "qwen2.5-7b",
    "Qwen/Qwen2.5-72B-Instruct": "qwen2.5-72b",
    "Qwen/Qwen3-4B-Instruct-2507": "qwen3-4b",
    "Qwen/Qwen3-4B-Thinking-2507": "qwen3-4b",
    "Qwen/Qwen3-30B-A3B-Base": "qwen3-30b-a3b",
    "Qwen/Qwen3-30B-A3B-Instruct-2507": "qwen3-30b-a3b",
    "Qwen/Qwen3-30B-A3B-Thinking-2507": "qwen3-30b-a3b",
    "Skywork/Skywork-Reward-V2-Qwen3-8B": "qwen3-8b",
    "Qwen/Qwen1.5-MoE-A2.7B-Chat": "qwen1.5-moe-a2.7b",
    "Qwen/Qwen3-Next-80B-A3B-Thinking": "qwen3-next-80b-a3b",
    "Qwen/Qwen3.5-4B-Base": "qwen3.5-4b",
    "Qwen/Qwen3.5-9B-Base": "qwen3.5-9b",
    "Qwen/Qwen3.5-35B-A3B-Base": "qwen3.5-35b-a3b",
    "Qwen/Qwen3.6-27B": "qwen3.5-27b",
    "Qwen/Qwen3.8-27B": "qwen3.5-27b",
    "Qwen/Qwen3.6-35B-A3B": "qwen3.5-35b-a3b",
    "google/gemma-2b-it": "gemma-2b",
    "google/gemma-7b-it": "gemma-7b",
    "google/gemma-2-27b-it": "gemma-2-27b",
    "google/gemma-3-27b-it": "gemma-3-27b",
    "mistralai/Mistral-Small-24B-Instruct-2501": "mistral-small-24b",
    "mistralai/Magistral-Small-2506": "mistral-small-24b",
    "mistralai/Magistral-Small-2507": "mistral-small-24b",
    "mistralai/Devstral-Small-2505": "mistral-small-24b",
    "mistralai/Devstral-Small-2507": "mistral-small-24b",
    "mistralai/Mistral-Small-3.1-24B-Base-2503": "mistral-small-3.1-24b",
    "mistralai/Mistral-Small-3.2-24B-Instruct-2506": "mistral-small-3.1-24b",
    "mistralai/Magistral-Small-2509": "mistral-small-3.1-24b",
    "mistralai/Ministral-3-3B-Base-2512": "ministral-3-3b",
    "mistralai/Ministral-3-3B-Reasoning-2512": "ministral-3-3b",
    "mistralai/Mixtral-8x22B-v0.1": "mixtral-8x22b",
    "openai/gpt-oss-safeguard-20b": "gpt-oss-20b",
    "axolotl-ai-co/gpt-oss-120b-dequantized": "gpt-oss-120b",
    "deepseek-ai/DeepSeek-V2-Lite-Chat": "deepseek-v2-lite",
    "EleutherAI/pythia-160m-deduped": "pythia-160m",
    "EleutherAI/pythia-410m-deduped": "pythia-410m",
    "EleutherAI/pythia-1b-deduped": "pythia-1b",
    "EleutherAI/pythia-1.4b-deduped": "pythia-1.4b",
    "EleutherAI/pythia-2.8b-deduped": "pythia-2.8b",
    "EleutherAI/pythia-6.9b-deduped": "pythia-6.9b",
    "EleutherAI/pythia-12b-deduped": "pythia-12b",
    "togethercomputer/RedPajama-INCITE-Chat-3B-v1": "redpajama-incite-3b",
    "CohereForAI/c4ai-command-r7b-12-2024": "command-r7b",
    "THUDM/GLM-4-32B-0414": "glm-4-32b",
    "ByteDance-Seed/Seed-OSS-36B-Base": "seed-oss-36b",
    "swiss-ai/Apertus-8B-2509": "apertus-8b",
    "allenai/Olmo-3-7B-Instruct": "olmo-3-7b",
    "allenai/Olmo-3-7B-Instruct-SFT": "olmo-3-7b",
    "allenai/Olmo-3-7B-Think": "olmo-3-7b",
    "tiiuae/falcon-7b-instruct": "falcon-7b",
    "microsoft/Phi-4-mini-reasoning": "phi-4-mini",
}
# Repositories of quantised weights: what they were made of, and how.
QUANTIZED = {
    "hugging-quants/Meta-Llama-3.1-405B-BNB-NF4-BF16": ("meta-llama/Llama-3.1-405B", "nf4"),
    "TheBloke/Llama-2-7B-GPTQ": ("meta-llama/Llama-2-7b-hf", "gptq"),
    "TheBloke/Mistral-7B-v0.1-GPTQ": ("mistralai/Mistral-7B-v0.1", "gptq"),
    "TechxGenus/Meta-Llama-3-8B-Instruct-GPTQ": ("meta-llama/Meta-Llama-3-8B-Instruct", "gptq"),
    "TechxGenus/Meta-Llama-3-8B-Instruct-AWQ": ("meta-llama/Meta-Llama-3-8B-Instruct", "awq"),
    "ISTA-DASLab/Meta-Llama-3-8B-Instruct-AQLM-2Bit-1x16": (
        "meta-llama/Meta-Llama-3-8B-Instruct", "aqlm",
    ),
    "nvidia/Qwen3-30B-A3B-NVFP4": ("Qwen/Qwen3-30B-A3B", "nvfp4"),
    "nvidia/Gemma-4-26B-A4B-NVFP4": ("google/gemma-4-26B-A4B", "nvfp4"),
    "nvidia/Qwen3-Next-80B-A3B-Instruct-NVFP4": ("Qwen/Qwen3-Next-80B-A3B-Instruct", "nvfp4"),
}  # fmt: skip
_NF4 = ("-unsloth-bnb-4bit", "-bnb-4bit")


def quantized(hub: str) -> tuple[str, str] | None:
    """Return of which repository a quantised one was made, and how; None for any other.

    Mirrors have the weights of others in bitsandbytes' nf4, and say so at the end of the name.
    """
    ending = next((ending for ending in _NF4 if hub.endswith(ending)), None)
    if ending and hub.partition("/")[0] in MIRRORS:
        return hub.removesuffix(ending), "nf4"
    return QUANTIZED.get(hub)


def entry_of(hub: str, sources: Mapping[str, str]) -> str | None:
    """Return the entry that a repository's model is, None where there is none.

    Args:
        hub: its id.
        sources: the ids that entries are named after, each with its entry.
    """
    known = SAME | dict(sources)
    owner, _, name = hub.partition("/")
    if hub in known or owner not in MIRRORS:
        return known.get(hub)
    copied = {source.rpartition("/")[2]: entry for source, entry in known.items()}
    return copied.get(name)
