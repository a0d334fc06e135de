"""Headroom: measure, meter and compare what fine-tuning methods really cost."""

import logging

__version__ = "0.1.0"

# It says at every import, and at every 8-bit product, what kernels and types it takes.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
