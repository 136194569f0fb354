"""How surgery finds the parameters of a layer, and what it raises where they do not fit."""


class SurgeryError(RuntimeError):
    """Parameters that do not fit where they are to go."""


def layer_parameters(net, name):
    """The parameter blobs of a layer. Raises SurgeryError unless the net has such a layer."""
    if name not in net.params:
        raise SurgeryError(f"no layer {name} with parameters in the net; "
                           f"there are {', '.join(net.params)}")
    return net.params[name]
