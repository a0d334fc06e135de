"""What the AFLoRA and SAFE papers print, as data, with what is inferred or inconsistent in it."""
