"""Seconds of a training step with no GPU: its operators, what each costs, and who waits for whom."""
