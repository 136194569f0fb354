"""The folder of a run: its files, its settings, what it says of itself while it trains."""
