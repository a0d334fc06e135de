"""Seconds of a training step with no GPU: its operators, what each costs, who waits for whom."""
