"""What a machine is measured for: the constants that no datasheet says."""
