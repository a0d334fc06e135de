"""SAFE: adapters freeze where a layer's features hardly change."""
