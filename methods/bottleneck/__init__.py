"""Bottleneck adapters: Houlsby's and Pfeiffer's."""
