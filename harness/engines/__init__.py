"""Engines place cells on devices; each cell runs in a process of its own."""
