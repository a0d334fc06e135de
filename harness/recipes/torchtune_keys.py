"""torchtune's builders of models, its components by name, and what its other keys come to."""

from __future__ import annotations

from typing import Any

from harness.recipes.keys import Keys

# Builder of `torchtune.models`, without `lora_` or `qlora_` before it: whose sizes it has.
BUILDERS = {
    "llama2_7b": "meta-llama/Llama-2-7b-hf",
    "llama2_13b": "meta-llama/Llama-2-13b-hf",
    "llama2_70b": "meta-llama/Llama-2-70b-hf",
    "code_llama2_7b": "codellama/CodeLlama-7b-hf",
    "code_llama2_13b": "codellama/CodeLlama-13b-hf",
    "code_llama2_70b": "codellama/CodeLlama-70b-hf",
    "llama3_8b": "meta-llama/Meta-Llama-3-8B",
    "llama3_70b": "meta-llama/Meta-Llama-3-70B",
    "llama3_1_8b": "meta-llama/Llama-3.1-8B",
    "llama3_1_70b": "meta-llama/Llama-3.1-70B",
    "llama3_1_405b": "meta-llama/Llama-3.1-405B",
    "llama3_2_1b": "meta-llama/Llama-3.2-1B",
    "llama3_2_3b": "meta-llama/Llama-3.2-3B",
    "llama3_3_70b": "meta-llama/Llama-3.3-70B-Instruct",
    "mistral_7b": "mistralai/Mistral-7B-v0.1",
    "gemma_2b": "google/gemma-2b",
    "gemma_7b": "google/gemma-7b",
    "gemma2_2b": "google/gemma-2-2b",
    "gemma2_9b": "google/gemma-2-9b",
    "gemma2_27b": "google/gemma-2-27b",
    "phi3_mini": "microsoft/Phi-3-mini-4k-instruct",
    "phi4_14b": "microsoft/phi-4",
    "qwen2_0_5b": "Qwen/Qwen2-0.5B",
    "qwen2_1_5b": "Qwen/Qwen2-1.5B",
    "qwen2_7b": "Qwen/Qwen2-7B",
    "qwen2_5_0_5b": "Qwen/Qwen2.5-0.5B",
    "qwen2_5_3b": "Qwen/Qwen2.5-3B",
    **{
        f"qwen2_5_{size.lower().replace('.', '_')}_{kind}": f"Qwen/Qwen2.5-{size}"
        for size in ("1.5B", "7B", "14B", "32B", "72B")
        for kind in ("base", "instruct")
    },
    **{
        f"qwen3_{size.lower().replace('.', '_')}_{kind}": f"Qwen/Qwen3-{size}"
        for size in ("0.6B", "1.7B", "4B", "8B", "14B", "32B")
        for kind in ("base", "instruct")
    },
    "qwen3_32b": "Qwen/Qwen3-32B",
}
# Optimizers by the end of their component's name; torch.optim's are told apart by their switches.
# Of bitsandbytes' in 8 bits the Trainer of transformers keeps embeddings' states in fp32.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "bitsandbytes.optim.AdamW8bit": {"optimizer": "adamw-8bit", "embedding_states": "same"},
    "bitsandbytes.optim.PagedAdamW": {"optimizer": "adamw-paged"},
    "bitsandbytes.optim.PagedAdamW32bit": {"optimizer": "adamw-paged"},
    "bitsandbytes.optim.PagedAdamW8bit": {
        "optimizer": "adamw-paged-8bit",
        "embedding_states": "same",
    },
    "bitsandbytes.optim.Lion": {"optimizer": "lion"},
    "bitsandbytes.optim.Lion8bit": {"optimizer": "lion-8bit", "embedding_states": "same"},
    "bitsandbytes.optim.PagedLion8bit": {
        "optimizer": "lion-paged-8bit",
        "embedding_states": "same",
    },
    "torchao.optim.AdamW8bit": {"optimizer": "adamw-torchao-8bit"},
    "torchao.optim.AdamW4bit": {"optimizer": "adamw-torchao-4bit"},
    "torchao.optim.AdamWFp8": {"optimizer": "adamw-torchao-fp8"},
    "torchao.prototype.low_bit_optim.AdamW8bit": {"optimizer": "adamw-torchao-8bit"},
    "torchao.prototype.low_bit_optim.AdamW4bit": {"optimizer": "adamw-torchao-4bit"},
    "torchao.prototype.low_bit_optim.AdamWFp8": {"optimizer": "adamw-torchao-fp8"},
}
# torchtune's names of layers with adapters: transformers', and those of models with fused layers.
ATTENTION = {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "output_proj": "o_proj"}
MLP = ("gate_proj", "up_proj", "down_proj")
FUSED_ATTENTION = {
    "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "output_proj": "o_proj",
}  # fmt: skip
FUSED_MLP = ("gate_up_proj", "down_proj")

_ONE_GPU = "the forecast is of one GPU that holds everything"
KEYS = Keys(
    acts="""
        dataset.packed dataset.max_seq_len optimizer.momentum ac_mode ac_option batch_size
        batch_size_val clip_grad_norm device enable_activation_checkpointing
        enable_activation_offloading gradient_accumulation_steps loss.num_output_chunks
        model.apply_lora_to_mlp model.apply_lora_to_output model.lora_attn_modules
        model.lora_dropout model.lora_rank model.quantize_base model.use_dora
        optimizer.block_size optimizer.foreach optimizer.fused optimizer_in_bwd
    """,
    inert="""
        output_dir seed shuffle epochs max_steps_per_epoch num_steps resume_from_checkpoint save_*
        keep_last_n_checkpoints checkpointer* enable_async_checkpointing async_checkpointing
        lr_scheduler* metric_logger* log_* profiler* tokenizer.* dataset dataset.* datasets
        dataset_val* run_val_every_n_steps dataloader* collate_fn
        cudnn_deterministic_mode low_cpu_ram loss.ignore_index loss.reduction loss.beta
        loss.label_smoothing custom_sharded_layers memory_efficient_fsdp_wrap tensor_parallel_plan*
        fsdp_reshard_after_forward fsdp_sharding_strategy model.lora_alpha model.image_size
        optimizer.lr optimizer.weight_decay optimizer.betas optimizer.eps optimizer.maximize
        optimizer.capturable optimizer.nesterov optimizer.dampening optimizer.block_wise
        optimizer.bf16_stochastic_round
    """,
    differs={
        "optimizer.min_8bit_size": "the forecast has states of tensors from 4,096 values on in 8 "
        "bits",
        "fsdp_cpu_offload": "weights, gradients and states go to the host; in the forecast one "
        "GPU holds everything",
        "fsdp.cpu_offload": "weights, gradients and states go to the host; in the forecast one "
        "GPU holds everything",
        "model.block_size": "blocks of nf4; the forecast has 64 values in a block",
        "model.scaler_block_size": "blocks of nf4's scales; the forecast has 256 in a block",
        "use_distributed_state_dict": _ONE_GPU,
    },
    refused={
        "optimizer.amsgrad": "a third state a weight; without it it can be forecast",
        "optimizer.optim_bits": "the component's name says how many bits; leave it out",
        "optimizer.is_paged": "the component's name says it (PagedAdamW); leave it out",
        "optimizer.percentile_clipping": "100 norms a tensor; leave it out",
        "compile*": "compiled code holds what its compiler decides; compile: False can be forecast",
        "enable_fp8_training": "products in 8 bits cannot be forecast; False can",
        "fp8_recipe_name": "products in 8 bits cannot be forecast; leave it out",
        "quantizer*": "training that rounds weights and inputs (QAT) holds copies of both, which "
        "cannot be forecast; the recipe without a quantizer can",
        "teacher_model*": "a second model and its logits; the recipe of the student alone can be "
        "forecast",
        "kd_loss*": "it needs the teacher's logits",
        "reward_and_value_model*": "two more models; PPO cannot be forecast",
        "ref_checkpointer*": "a second copy of the model; the recipe with LoRA can be forecast",
    },
)  # fmt: skip
# Of these 1 asks for nothing.
PARALLEL = (
    "tensor_parallel_dim", "context_parallel_dim", "data_parallel_shard_dim",
    "data_parallel_replicate_dim", "expert_parallel_dim",
)  # fmt: skip
