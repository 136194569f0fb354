"""The experiments in miniature, on generated data: their table, their classifiers, the page."""
