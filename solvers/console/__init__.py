"""What the command lines have in common: options, signals, errors, bars, tables, events."""
