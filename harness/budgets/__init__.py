"""Memory budgets: the file, the figures to hold against it, and the verdict."""
