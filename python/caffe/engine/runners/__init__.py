"""The ways to run a net: as it is, without rows that repeat, or replayed from a recording."""
