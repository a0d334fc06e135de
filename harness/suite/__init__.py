"""Suites: from a YAML file to validated cells, and what is wrong with it."""
