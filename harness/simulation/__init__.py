"""One training step on a device that is not here: from a request to what its memory would be."""
