"""Pictures as arrays, and the databases that hold them."""
