"""AFLoRA: low-rank projections that freeze when a score of their gradients says so."""
