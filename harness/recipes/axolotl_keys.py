"""What axolotl's keys come to that its importer does not read: version 0.19, and older names."""

from __future__ import annotations

from harness.recipes.keys import Keys

# Degrees of what is spread over several GPUs.
PARALLEL = (
    "dp_shard_size", "dp_replicate_size", "sequence_parallel_degree", "context_parallel_size",
    "tensor_parallel_size", "expert_parallel_size", "gpu_count", "node_count",
)  # fmt: skip
# Plugins whose keys are known here.
_PLUGINS = (
    "cut_cross_entropy.CutCrossEntropyPlugin", "liger.LigerPlugin", "swanlab.SwanLabPlugin",
    "kernels.KernelsPlugin", "expert_parallel.ExpertParallelPlugin", "lm_eval.LMEvalPlugin",
    "grokfast.GrokfastPlugin",
)  # fmt: skip
PLUGINS = tuple(f"axolotl.integrations.{name}" for name in _PLUGINS)

# Keys that may mean nothing beside others, and are then not read.
ACTS = """
    adapter attn_implementation base_model_config batch_size bf16 deepspeed eval_batch_size fp16
    fsdp fsdp_config gc_steps gemma4_hybrid_attn_impl gradient_accumulation_steps load_in_4bit
    load_in_8bit max_grad_norm micro_batch_size model_type optimizer plugins
    process_reward_model reward_model rl sequence_len torch_empty_cache_steps type_of_model
    unfrozen_parameters
    tf32 bfloat16 float16 lora_r lora_alpha lora_dropout lora_target_linear
    lora_target_modules sample_packing pad_to_sequence_len
    gradient_checkpointing_kwargs.use_reentrant peft_autocast_adapter_dtype
    bnb_config_kwargs.bnb_4bit_use_double_quant bnb_config_kwargs.bnb_4bit_quant_type
    liger_rope liger_rms_norm liger_layer_norm liger_swiglu liger_glu_activation
    liger_cross_entropy liger_fused_linear_cross_entropy cut_cross_entropy
    chunked_cross_entropy chunked_cross_entropy_num_chunks num_labels lora_target_parameters
    lora_modules_to_save lora_rank_pattern lora_alpha_pattern peft_layers_to_transform
    peft_layers_pattern peft_use_dora peft_use_rslora peft_trainable_token_indices
    lora_exclude_modules lora_mlp_kernel lora_qkv_kernel lora_o_kernel peft_init_lora_weights
    peft_ensure_weight_tying peft.loftq_config.loftq_bits peft
"""
INERT = """
    strict output_dir hub_* push_* save_* saves_* save_safetensors logging_* seed datasets
    datasets.* test_datasets test_datasets.* pretraining_dataset pretraining_dataset.*
    dataset_* shuffle_* skip_prepare_dataset num_dataset_shards_to_save streaming
    streaming_multipack_buffer_size pretrain_multipack_* pretraining_sample_concatenation
    preprocess_iterable is_preprocess remove_unused_columns dataloader_* accelerator_config
    accelerator_config.* curriculum_sampling group_by_length val_set_size
    excess_length_strategy min_sample_len max_prompt_len use_pose pose_* train_on_inputs
    role_boundaries sample_packing_* eval_sample_packing max_packed_sequence_len
    total_num_tokens total_supervised_tokens multipack_real_batches chat_template
    chat_template_* default_system_message eot_tokens special_tokens special_tokens.*
    added_tokens_overrides tokenizer_* processor_kwargs processor_kwargs.*
    fix_untrained_tokens trust_remote_code hf_use_auth_token revision_of_model
    base_model_ignore_patterns cls_model_config low_cpu_mem_usage reinit_weights
    mean_resizing_embeddings shrink_embeddings is_*_derived_model
    experimental_skip_move_to_device qlora_sharded_model_loading embeddings_skip_upcast
    learning_rate lr_* embedding_lr embedding_lr_scale cosine_* eta_min weight_decay warmup_*
    adam_* loraplus_* torchdistx_path num_epochs max_steps jagged_* relora_* polora_*
    grokfast_* dion_* lora_on_cpu lora_fan_in_fan_out lora_weights merge_lora merge_method
    lora_embedding_kernel nvfp4_merge_aware_start_step eval_steps evals_per_epoch
    eval_strategy evaluation_strategy eval_table_size eval_max_new_tokens
    eval_causal_lm_metrics early_stopping_patience load_best_model_at_end
    metric_for_best_model greater_is_better do_bench_eval bench_* resume_from_checkpoint
    auto_resume_from_checkpoints loss_watchdog_* gc_collect_steps dynamic_checkpoint
    dynamic_checkpoint.* debug test_value device device_map device_map.* world_size local_rank
    ddp ddp_* fsdp_version fsdp_config.fsdp_* fsdp_config.activation_checkpointing
    fsdp_config.offload_params fsdp_config.sync_module_states
    fsdp_config.cpu_ram_efficient_loading fsdp_config.cpu_offload_pin_memory
    fsdp_config.use_orig_params fsdp_config.state_dict_type fsdp_config.final_state_dict_type
    fsdp_config.auto_wrap_policy fsdp_config.transformer_layer_cls_to_wrap
    fsdp_config.min_num_params fsdp_config.reshard_after_forward
    fsdp_config.mixed_precision_policy fsdp_config.limit_all_gathers
    fsdp_config.backward_prefetch
    fsdp_config.sharding_strategy fsdp_config.forward_prefetch fsdp_final_state_dict_type
    heads_k_stride ring_attn_func gradient_checkpointing_kwargs.* freeze_mm_modules
    flex_attn_compile_kwargs flex_attn_compile_kwargs.* large_head_attention flash_attn_d512
    sdpa_varlen gptq_* torch_compile_* fp8_* float32 liger_kernel_impl rl_beta dpo_beta
    orpo_alpha simpo_gamma cpo_alpha rpo_alpha kto_* dpo_loss_* dpo_norm_loss
    dpo_label_smoothing dpo_use_weighting dpo_generate_during_eval precompute_ref_log_probs
    center_rewards_coefficient eaft_* scaling_softmax_* trl trl.* vllm vllm.* ebft ebft.*
    diffusion diffusion.* generation_* num_generation_samples expert_parallel_*
    llama4_linearized_experts lisa_step_interval lisa_layers_attribute optim_target_modules
    qgalore_* tiled_mlp_* use_wandb wandb_* use_mlflow mlflow_* hf_mlflow_* use_comet comet_*
    use_swanlab swanlab_* use_tensorboard use_trackio trackio_* gradio_* use_otel_metrics
    otel_* profiler_* include_tokens_per_second include_tkps use_ray ray_*
    resources_per_worker axolotl_config_path moe_dequant_chunk_size moe_bnb_fast lm_eval_*
    model_quantization_config_kwargs model_quantization_config_kwargs.*
    bnb_config_kwargs.bnb_4bit_quant_storage bnb_config_kwargs.llm_int8_has_fp16_weight
    provider secrets volumes volumes.* branch dockerfile_commands memory memory_preprocess
    timeout timeout_preprocess gpu cloud cloud.* project_name
"""

_EXPERTS = "kernels of experts; the forecast has transformers' grouped product"
_FUSED = "a fused kernel, which keeps less than the layers that the forecast has"
_MORE = "more than the forecast has"
DIFFERS = {
    "processor_type": "the forecast is of text of sequence_len tokens; images, or sound, and what "
    "encodes them are not in it",
    "image_size": "images are in no forecast",
    "image_resize_algorithm": "images are in no forecast",
    "tokens": "new tokens make the embeddings larger, by a row each",
    "resize_token_embeddings_to_32x": "up to 31 more rows of the embeddings",
    "selective_checkpointing": f"what is not recomputed is kept: {_MORE}",
    "selective_checkpointing.*": f"what is not recomputed is kept: {_MORE}",
    "neftune_noise_alpha": f"noise on the embeddings, of their output's size: {_MORE}",
    "noisy_embedding_alpha": f"noise on the embeddings, of their output's size: {_MORE}",
    "flash_attn_cross_entropy": _FUSED,
    "flash_attn_rms_norm": _FUSED,
    "flash_attn_fuse_mlp": _FUSED,
    "flash_attn_fuse_qkv": _FUSED,
    "flash_optimum": _FUSED,
    "fused_attn_kernel": _FUSED,
    "liger_rms_norm_gated": _FUSED,
    "dpo_use_liger_kernel": _FUSED,
    "dpo_padding_free": "without padding: less than the forecast has",
    "batch_flattening": "without padding: less than the forecast has",
    "liger_use_token_scaling": f"a factor per token: {_MORE}",
    "use_eaft": f"entropies per token: {_MORE}",
    "tiled_mlp": "the feed-forward layers run in pieces: less than the forecast has",
    "scaling_softmax": f"scores are scaled: {_MORE}",
    "pad_to_multiple_of": "rows are a little longer",
    "eval_sequence_len": "evaluation has rows of another length",
    "auto_find_batch_size": "the trainer halves the batch until it fits",
    "max_memory": "what is over it is placed elsewhere",
    "gpu_memory_limit": "what is over it is placed elsewhere",
    "lora_model_dir": "the adapter that is loaded is taken to be as the keys say",
    "use_kernels": "kernels of the hub in place of transformers' layers",
    "experts_implementation": _EXPERTS,
    "expert_backend": _EXPERTS,
    "moe_grouped_backend": _EXPERTS,
    "use_scattermoe": _EXPERTS,
    "use_sonicmoe": _EXPERTS,
    "use_dsv4_kernels": _EXPERTS,
    "use_glm_dsa_kernels": _FUSED,
    "model_config.output_router_logits": f"the routers' logits and their loss: {_MORE}",
    "overrides_of_model_config.output_router_logits": f"the routers' logits and loss: {_MORE}",
    "optim_args": "options of the optimizer",
    "optim_args.*": "options of the optimizer",
    "relora": "between restarts it is LoRA's step; what a restart takes is left out",
    "generate_samples": "texts are generated in evaluations",
    "do_causal_lm_eval": "texts are generated in evaluations",
    "fp32_norms": f"the norms stay in fp32: {_MORE}",
    "rope_scaling": "positions are scaled; no tensor is larger for it",
}
_CHANGED = "it changes the model, and how is in no forecast"
_PART = "a part of the model trains, and no method here is that part"
_HOST = "what is offloaded to the host is in no forecast; activations that are recomputed are"
REFUSED = {
    "activation_offloading": _HOST,
    "layer_offloading": _HOST,
    "ple_cpu_offload": _HOST,
    "torch_compile": "what a compiled step keeps and fuses is in no forecast; without it there is "
    "one",
    "deepcompile": "a compiled step is in no forecast",
    "qat": "fake quantisation is in no forecast",
    "fp8": "products in fp8 are in no forecast; bf16 is",
    "gptq": "a base quantised by GPTQ is in no forecast; load_in_4bit is",
    "quantize_moe_experts": "experts quantised in one tensor are in no forecast; linear layers are",
    "nonexpert_quantization": "it is in no forecast; load_in_4bit is",
    "use_onebitllms": _CHANGED,
    "dsv4_*": _CHANGED,
    "gemma4_fp8_nonexpert": _CHANGED,
    "gemma4_nf4_nonexpert": _CHANGED,
    "nvfp4_merge_aware": _CHANGED,
    "dense_mixer": _CHANGED,
    "llmcompressor": _CHANGED,
    "model_config": _CHANGED,
    "model_config.*": _CHANGED,
    "overrides_of_model_config": _CHANGED,
    "overrides_of_model_config.*": _CHANGED,
    "overrides_of_model_kwargs": _CHANGED,
    "s2_attention": _CHANGED,
    "peft_layer_replication": _CHANGED,
    "bnb_config_kwargs.*": "it is in no forecast of a quantised base",
    "lisa_n_layers": _PART,
    "spectrum_*": _PART,
    "use_mora": "MoRA is no method here; peft's LoRA is",
    "mora": "MoRA is no method here; peft's LoRA is",
    "kd_*": "distillation has a second model, or its logits; neither is in a forecast",
    "nemo_gym_*": "its step generates answers, which is in no forecast",
    "hatchery": "it trains elsewhere",
    "trainer_cls": "what a trainer of one's own does is in no forecast",
    "unsloth_*": "axolotl has taken it out",
}
KEYS = Keys(ACTS, INERT, DIFFERS, REFUSED)
