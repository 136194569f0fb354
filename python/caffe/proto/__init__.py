"""Caffe's schema: caffe.proto, and its message classes in caffe_pb2."""
