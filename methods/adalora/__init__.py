"""AdaLoRA: triplets of ranks that share one falling budget."""
