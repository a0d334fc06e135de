"""What the keys of transformers' TrainingArguments come to that no importer reads.

Those of transformers 5.24, and those that 4.x had. An importer's own keys stand before them.
"""

from __future__ import annotations

from harness.recipes.keys import Keys

# Evaluation and saving hold what a step does not; a forecast of a bare shape is of the step.
_EVALUATION = "an evaluation keeps what this asks for; the forecast is of training steps"
_ONE_GPU = "the forecast is of one GPU that holds all weights, gradients and states"

TRAINING = Keys(
    inert="""
        num_train_epochs max_steps learning_rate lr_scheduler_* warmup_* weight_decay adam_beta1
        adam_beta2 adam_epsilon average_tokens_across_devices train_sampling_strategy
        group_by_length length_column_name remove_unused_columns label_names ignore_data_skip
        seed data_seed full_determinism optim_target_modules past_index output_dir
        overwrite_output_dir run_name project trackio_* logging_* log_* report_to disable_tqdm
        include_num_input_tokens_seen include_tokens_per_second save_* enable_jit_checkpoint
        push_to_hub* hub_* resume_from_checkpoint restore_callback_states_from_checkpoint
        load_best_model_at_end metric_for_best_model greater_is_better debug skip_memory_metrics
        plot_* dataloader_* accelerator_config dispatch_batches split_batches do_train do_eval
        do_predict eval_strategy evaluation_strategy eval_steps eval_delay eval_on_start
        eval_use_gather_object eval_do_concat_batches prediction_loss_only
        per_device_eval_batch_size per_gpu_eval_batch_size include_for_metrics
        include_inputs_for_metrics batch_eval_metrics eval_accumulation_steps jit_mode_eval
        generation_* sortish_sampler local_rank ddp_* ray_scope tpu_* xpu_backend use_mps_device
        mp_parameters fp16_opt_level fp16_backend half_precision_backend
    """,
    differs={
        "deepspeed": _ONE_GPU,
        "fsdp": _ONE_GPU,
        "fsdp_config": _ONE_GPU,
        "fsdp_*": _ONE_GPU,
        "parallelism_config": _ONE_GPU,
        "sharded_ddp": _ONE_GPU,
        "use_cpu": "the forecast is of a GPU",
        "no_cuda": "the forecast is of a GPU",
        "auto_find_batch_size": "the trainer halves the batch until it fits; the forecast is of "
        "the batch that the file says",
        "neftune_noise_alpha": "noise on the embeddings, which is not in the forecast: as much as "
        "one layer's input",
        "fp16_full_eval": _EVALUATION,
        "bf16_full_eval": _EVALUATION,
        "predict_with_generate": _EVALUATION,
        "use_cache": "cached keys and values, which the forecast drops with the outputs",
        "use_ipex": "the forecast is of CUDA's kernels",
    },
    refused={
        "torch_compile": "compiled code holds what its compiler decides; set it to false",
        "torch_compile_*": "compiled code holds what its compiler decides; leave it out",
        "torchdynamo": "compiled code holds what its compiler decides; leave it out",
    },
)  # fmt: skip


def joined(*keys: Keys) -> Keys:
    """Return keys of several tables; what an earlier one says of a key goes before."""
    differs: dict[str, str] = {}
    refused: dict[str, str] = {}
    for table in keys:
        differs |= {name: text for name, text in table.differs.items() if name not in differs}
        refused |= {name: text for name, text in table.refused.items() if name not in refused}
    return Keys(
        acts=" ".join(table.acts for table in keys),
        inert=" ".join(table.inert for table in keys),
        differs=differs,
        refused=refused,
    )
