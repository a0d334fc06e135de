"""SoRA: a trained gate for every rank, pulled to zero."""
