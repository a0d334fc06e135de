"""Labelled images: where they lie, how they are read, the data sets by name."""
