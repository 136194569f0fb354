"""Training: the loop, the rules by which it updates weights, and the files it continues from."""
