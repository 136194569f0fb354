"""The command `fcn`: importing labelled images, training, scoring and inference."""
