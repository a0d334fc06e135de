"""MEFT: a pretrained model made reversible by small adapters."""
