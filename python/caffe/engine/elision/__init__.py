"""Padding elision: rows and columns that a wide padding makes all alike are computed once.

With conv1_1's padding of 100, every feature map of an FCN has a ring in which it is constant,
between the outer edge, where the zeros of later paddings creep in, and what depends on the
image. Of such a run of equal rows a few are enough: they are computed in smaller blobs, and
replicated where a reader needs more of them. The net remains the same function of its data and
parameters, so its values and gradients do, too.

`region` finds the layers, `rows` numbers rows that must be equal, `choice` says how many each
layer leaves out, `plan` proves that nothing else changes, `core_frame` that what depends on the
image and the frame around it can be computed separately; `spread` replicates, `reduced` runs a
layer, and `..runners.eliding` the net.
"""
