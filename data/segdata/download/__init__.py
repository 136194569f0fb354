"""Downloading what the experiments need: `python -m segdata.download NAME`."""
