"""Memory that others measured on real GPUs, and what a suite says of it."""
