"""Tasks of language models: texts to continue, to follow, to answer or to sum up."""
