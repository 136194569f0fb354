"""Layers without bottoms: where the data come from."""
