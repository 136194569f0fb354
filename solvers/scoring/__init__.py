"""What a score is made of: a trained net, its predictions, confusion and metrics."""
