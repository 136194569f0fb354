"""Caffe's schema, caffe.proto, what forks add to it, forks.proto, and their message classes."""
