"""Training: the loop, the update rules and the learning rates."""
