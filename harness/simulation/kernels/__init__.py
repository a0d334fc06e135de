"""Memory that CUDA's kernels take beside their results, by operator: `table.py`."""
