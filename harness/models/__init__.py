"""Models: where one comes from, its files, its config, its weights and its tokenizer."""
