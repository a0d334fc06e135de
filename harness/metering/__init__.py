"""Where the bytes of a training step are: tensor accounting and the allocator's own figures."""
