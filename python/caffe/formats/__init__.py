"""The files that Caffe reads and writes: prototxts, caffemodels, solverstates, HDF5."""
