"""The embedded datasets: drawn from a seed in seconds, in the layouts of the real ones."""
