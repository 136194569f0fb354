"""The part of caffe that computes, on PyTorch: blobs, layers, nets, solvers and their files."""
