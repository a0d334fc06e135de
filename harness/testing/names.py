"""Names that the plug-in's hooks and what they call share; nothing heavy is imported for them."""

from __future__ import annotations

MARKS = ("memory_budget", "memory_increase")
FILE = "memory_accepted.toml"
OUTCOMES = "memory_outcomes"  # of a test, and of its report: what its forecasts came to
