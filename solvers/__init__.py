"""What is done with a net: the commands, and in folders what they are made of."""
