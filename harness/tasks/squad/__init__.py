"""SQuAD v1.1, from the hub or from files in its own form or as flat rows."""
