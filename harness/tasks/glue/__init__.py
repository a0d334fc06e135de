"""The nine GLUE tasks, from the hub or from files in their original layout."""
