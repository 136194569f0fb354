"""The means that are subtracted from images, in the order of their channels.

The published layers hold those of their own in float32. That of ILSVRC stands in prototxts, from
which it is read in double precision; the difference is taken in the precision of the mean.
"""

import numpy as np

ILSVRC = (104.00699, 116.66877, 122.67892)          # B G R, of the classifiers' training images
NYUD = np.array([116.190, 97.203, 92.318], np.float32)        # B G R
SIFTFLOW = np.array([114.578, 115.294, 108.353], np.float32)  # B G R
PASCALCONTEXT = np.array([104.007, 116.669, 122.679], np.float32)     # B G R
HHA = np.array([132.431, 94.076, 118.477], np.float32)        # in the order of the file
GREY = (127.5, 127.5, 127.5)                        # of microscopes' images, of no data set
LOG_DEPTH = np.float32(7.844)                       # of the logarithm of depth in millimetres

# of colour images, by the module of the data layer; where its param_str has a mean, that counts
OF_LAYERS = {"voc_layers": ILSVRC, "folder_layers": ILSVRC, "nyud_layers": NYUD,
             "siftflow_layers": SIFTFLOW, "pascalcontext_layers": PASCALCONTEXT,
             "segdata.cells": GREY}

# the kinds of their images, where param_str does not list them and they are not colour
IMAGE_KINDS = {"segdata.cells": ("grey",)}
