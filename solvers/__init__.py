"""Training and scoring: the table of experiments, the loop, the metrics."""
