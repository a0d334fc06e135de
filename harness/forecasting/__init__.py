"""The forecast of a cell: request, fake step, cards, cache and tables."""
