"""The data side: reading, augmenting, colouring, downloading and generating labelled images.

The data layers that prototxts name (`voc_layers` and the like) stand on it.
"""
