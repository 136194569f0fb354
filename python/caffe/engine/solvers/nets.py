"""The nets of a solver prototxt: the one that learns, and those that test it."""

from __future__ import annotations

import os

from ... import context
from ...errors import CaffeError
from ...formats import prototxt
from ...log import logger
from ...proto import caffe_pb2
from ..net import Net
from . import settings


def train_net(param: caffe_pb2.SolverParameter, source: str) -> Net:
    """The Net that learns, with the weights that `param` names. Raises CaffeError.

    source : the solver's file, which errors name, and beside which files are looked for
    """
    given = [name for name in ("net", "net_param", "train_net", "train_net_param")
             if param.HasField(name)]
    if len(given) != 1:
        raise CaffeError(f"{source}: one train net is needed in net, net_param, "
                         f"train_net or train_net_param; given: {given or 'none'}")
    described = getattr(param, given[0])
    logger.info("Creating training net %s", f"from {given[0]} file: {described}"
                if isinstance(described, str) else f"specified in {given[0]}.")
    net = _build(described, source, context.TRAIN, param.train_state)
    for files in param.weights:
        for name in files.split(","):
            logger.info("Finetuning from %s", name.strip())
            net.copy_from(_path(name.strip(), source))
    return net


def test_nets(param: caffe_pb2.SolverParameter, source: str, learning: Net) -> list[Net]:
    """The Nets that test, in phase TEST, with the weights of the one that learns. Raises
    CaffeError."""
    described: list[str | caffe_pb2.NetParameter] = [*param.test_net_param, *param.test_net]
    fields = ["test_net_param"] * len(param.test_net_param) \
        + ["test_net file"] * len(param.test_net)
    common, field = ((param.net_param, "net_param") if param.HasField("net_param")
                     else (param.net, "net file"))
    missing = len(param.test_iter) - len(described) if common else 0
    described += [common] * missing
    fields += [field] * missing
    states = list(param.test_state) or [caffe_pb2.NetState()] * len(described)
    _check_tests(param, source, len(described), len(states))
    nets = []
    for number, (net, field, state) in enumerate(zip(described, fields, states)):
        logger.info("Creating test net (#%d) specified by %s", number,
                    f"{field}: {net}" if isinstance(net, str) else field)
        nets.append(_build(net, source, context.TEST, state))
        nets[-1].share_with(learning)
    return nets


def _check_tests(param: caffe_pb2.SolverParameter, source: str, nets: int, states: int) -> None:
    if nets != len(param.test_iter):
        raise CaffeError(f"{source}: {nets} test nets, but {len(param.test_iter)} test_iter")
    if states != nets:
        raise CaffeError(f"{source}: {nets} test nets, but {states} test_state")
    if nets and param.test_interval < 1:
        raise CaffeError(f"{source}: a test net needs a test_interval of at least 1, "
                         f"got {param.test_interval}; without tests, leave test_iter out")
    if nets and min(param.test_iter) < 0:
        raise CaffeError(f"{source}: expected each test_iter to be at least 0, "
                         f"got {list(param.test_iter)}")


def _build(described: str | caffe_pb2.NetParameter, source: str, phase: int,
           state: caffe_pb2.NetState) -> Net:
    """The Net of a file or of a NetParameter, in `phase` unless its state or `state` says another,
    which counts, as in Caffe."""
    name = source
    if isinstance(described, str):
        name = _path(described, source)
        described = prototxt.read_net(name)
    param = caffe_pb2.NetParameter()
    param.CopyFrom(described)
    merged = caffe_pb2.NetState(phase=phase)
    for given in (param.state, state):
        merged.MergeFrom(given)
    param.state.CopyFrom(merged)
    try:
        settings.check_multipliers(param)
    except CaffeError as error:
        raise CaffeError(f"{name}: {error}") from None
    return Net.from_param(param, name)


def _path(name: str, source: str) -> str:
    """Paths are the working directory's, as in Caffe, or else the solver prototxt's."""
    beside = os.path.join(os.path.dirname(os.path.abspath(source)), name)
    return beside if not os.path.exists(name) and os.path.exists(beside) else name
