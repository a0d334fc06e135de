"""A step that somebody else wrote, on tensors without values: any torch code."""
