"""One answer for one model on one card: what fits, how fast, and what to change."""
