"""One training run: put together, stepped, evaluated, checkpointed, compacted."""
