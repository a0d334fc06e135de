"""LoRAPrune: heads and channels masked by LoRA's gradients, then taken out."""
