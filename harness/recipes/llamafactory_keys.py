"""What LLaMA-Factory's keys come to that its importer does not read: version 0.9.5, and older."""

from __future__ import annotations

from harness.recipes.keys import Keys
from harness.recipes.training_arguments import TRAINING, joined

# Keys that may mean nothing beside others, and are then not read.
_ACTS = """
    bf16 cutoff_len disable_gradient_checkpointing enable_liger_kernel fp16 model_name_or_path
    neat_packing packing per_device_train_batch_size pure_bf16 quantization_bit stage
    lora_rank lora_alpha lora_dropout lora_target use_rslora use_dora additional_target
    oft_rank oft_block_size oft_target module_dropout use_reentrant_gc double_quantization
    quantization_type quantization_method pref_loss
    gradient_checkpointing gradient_checkpointing_kwargs gradient_checkpointing_kwargs.*
"""
_INERT = """
    do_train do_eval do_predict cache_dir use_fast_tokenizer split_special_tokens
    init_special_tokens new_special_tokens_config model_revision low_cpu_mem_usage
    infer_backend offload_folder use_kv_cache infer_dtype hf_hub_token ms_hub_token
    om_hub_token print_param_status trust_remote_code train_from_scratch adapter_folder
    export_* vllm_* sglang_* quantization_device_map template dataset eval_dataset dataset_dir
    media_dir train_on_prompt mask_history streaming buffer_size mix_strategy interleave_*
    overwrite_cache preprocessing_* max_samples eval_num_beams ignore_pad_token_for_loss
    val_size eval_on_each_dataset tool_format default_system enable_thinking preserve_thinking
    tokenized_path data_shared_file_system create_new_adapter loraplus_* pissa_* pref_beta
    kto_* dpo_label_smoothing simpo_gamma ppo_* ref_model_* reward_model_* ld_alpha galore_*
    apollo_* badam_* freeze_trainable_* freeze_extra_modules freeze_vision_tower
    freeze_multi_modal_projector compute_accuracy disable_shuffling early_stopping_steps
    plot_loss include_effective_tokens_per_second use_swanlab swanlab_* ray_* master_addr
    master_port enable_torch_profiler profiler_* profile_modules fp8_* asft_alpha eaft_alpha
    kt_* cpu_infer chunk_size do_sample temperature top_p top_k num_beams max_length
    max_new_tokens repetition_penalty length_penalty skip_special_tokens hyper_parallel_args
"""
_MORE = "more than the forecast has"
_SEEN = (
    "the forecast is of text of cutoff_len tokens; images, videos, sound, and what encodes them "
    "are not in it"
)
_NONE = "there is no such optimizer here; adafactor and adamw_8bit keep the nearest states"
_CHANGED = "it changes the model, and how is in no forecast"
_PART = "a part of the model trains, and no method here is that part"
_OWN = Keys(
    acts=_ACTS,
    inert=_INERT,
    differs={
        "image_*": _SEEN,
        "video_*": _SEEN,
        "audio_*": _SEEN,
        "crop_to_patches": _SEEN,
        "use_audio_in_video": _SEEN,
        "adapter_name_or_path": "the adapter that is loaded is taken to be as the keys say",
        "resize_vocab": "the embeddings grow with the tokenizer",
        "add_tokens": "new tokens make the embeddings larger, by a row each",
        "add_special_tokens": "new tokens make the embeddings larger, by a row each",
        "rope_scaling": "positions are scaled; no tensor is larger for it",
        "shift_attn": "attention in shifted groups; the forecast has it whole",
        "moe_aux_loss_coef": f"the routers' logits and their loss: {_MORE}",
        "upcast_layernorm": f"the norms stay in fp32, and so does what they put out: {_MORE}",
        "upcast_lmhead_output": f"the logits are copied in fp32: {_MORE}",
        "use_unsloth": "unsloth's kernels keep less than transformers' layers, which the forecast "
        "has",
        "use_v1_kernels": "fused kernels in place of transformers' layers",
        "use_dft_loss": f"the loss is weighted by each token's probability: {_MORE}",
        "use_eaft_loss": f"the loss is weighted by each token's entropy: {_MORE}",
        "ray_num_workers": "the forecast is of one GPU that holds everything",
        "pref_ftx": f"the loss of the chosen answers beside: {_MORE}",
        "pref_bco_weight": f"a classifier's loss beside: {_MORE}",
    },
    refused={
        "use_unsloth_gc": "activations go to the host; gradient checkpointing without it can be "
        "forecast",
        "mixture_of_depths": _CHANGED,
        "use_llama_pro": _PART,
        "freeze_language_model": _PART,
        "use_badam": "one block of layers trains at a time, and no optimizer here does that; "
        "adamw_torch, or LoRA, can be forecast",
        "use_galore": _NONE,
        "use_apollo": _NONE,
        "use_asft_loss": "a second model gives its probabilities",
        "use_mca": "Megatron's layers are in no forecast",
        "use_hyper_parallel": "its layers are in no forecast",
        "use_kt": "what KTransformers puts on the host is in no forecast",
        "fp8": "products in fp8 are in no forecast; bf16 is",
        "ref_model": "a second model is in no forecast",
        "reward_model": "a second model is in no forecast",
    },
)
KEYS = joined(_OWN, TRAINING)
