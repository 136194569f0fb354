"""Segmenting images: what is read, the passes of the net, what is written.

`fcn.Segmenter` (segmenter.py) is what Python code uses; solvers/infer.py is the command line.
"""
