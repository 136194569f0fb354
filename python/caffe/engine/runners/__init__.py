"""The ways to run a net: as it is, watched, or replayed from a recording."""
