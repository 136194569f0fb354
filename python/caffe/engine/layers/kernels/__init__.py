"""Computations that are faster here than in torch."""
