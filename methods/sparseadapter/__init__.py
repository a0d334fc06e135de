"""SparseAdapter: adapters pruned at the start by a score."""
