"""Headroom: measure, meter and compare what fine-tuning methods really cost."""

__version__ = "0.1.0"
