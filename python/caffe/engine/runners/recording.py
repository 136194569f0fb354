"""A pass over a net that is recorded in a graph, and whatever it leaves in Python."""

from ..blob import DATA, DIFF


def recorded_forward(net, graph, inputs, run):
    """The Recording of run(), a forward pass over all but the layers whose tops are `inputs`."""
    params = [(blob, DATA) for layer in net.layers for blob in layer.blobs]
    losses = [(blob, DIFF) for top, weights in zip(net._tops, net._loss_weights)
              for blob, weight in zip(top, weights) if weight]      # their gradients are set
    return Recording(net, graph, inputs, params + losses, DATA, run)


def recorded_backward(net, graph, run):
    """The Recording of run(), a backward pass, before which parameters have no gradients."""
    return Recording(net, graph, [], _ends(net), DIFF, run)


class Recording:
    """A pass that was recorded: its graph, where that reads, and what the pass left in Python,
    which is the same after every replay."""

    def __init__(self, net, graph, inputs, reads, sets, run):
        """Record run() in `graph`.

        inputs : Blobs whose data it reads, and that others write on the host
        reads : (Blob, DATA or DIFF) of all else that it reads, or changes, and does not make
        sets : DATA or DIFF of all blobs, that it sets
        """
        self._graph = graph
        self._inputs = [(blob, blob.data_to_read) for blob in inputs]
        self._reads = [(blob, kind, blob.diff_tensor if kind else blob.data_tensor)
                       for blob, kind in reads]
        before = State(net)
        try:
            with self._graph.recording():
                self._loss = run()
            self._left = State(net, sets, before)
        finally:
            before.restore()        # nothing was computed

    @property
    def made(self):
        """{Memory: the tensor that every replay writes}."""
        return {memory: tensor for memory, (tensor, _) in self._left.memories.items()
                if tensor is not None}

    def reshape(self):
        """Give the blobs the shapes that they have in this pass."""
        self._left.reshape()

    def replay(self):
        """Compute the pass anew; returns its loss, which the next replay overwrites."""
        self.reshape()
        for blob, place in self._inputs:
            blob.memories[DATA].send(place)
        for blob, kind, place in self._reads:
            blob.memories[kind].bring(place)
        self._graph.replay()
        self._left.restore()
        return self._loss


class State:
    """What a net knows in Python between two passes: its blobs' shapes and tensors, and whatever
    its layers and its elision of padding keep."""

    def __init__(self, net, kind=None, other=None):
        """Of the memories those of `kind`, DATA or DIFF (None: both), that are not as in the State
        `other`."""
        self._net, blobs = net, [*net.blobs.values(), *net._elision.inner()[0]]
        self._shapes = [(blob, blob.shape) for blob in blobs]
        params = [blob for layer in net.layers for blob in layer.blobs]
        memories = [blob.memories[DATA] for blob in blobs if kind != DIFF]
        memories += [blob.memories[DIFF] for blob in (*blobs, *params) if kind != DATA]
        known = other.memories if other else {}
        self.memories = {memory: memory.held for memory in memories
                         if not _are(memory.held, known.get(memory, ()))}
        layers = [net.layers[number] for number in net._graphs.others] + net._elision.inner()[1]
        self._layers = [(layer, dict(vars(layer))) for layer in layers]
        self._elision = net.elide_padding, net._elision.held

    def reshape(self):
        """Give the blobs their shapes, and what does not fit these is gone."""
        for blob, shape in self._shapes:
            blob.reshape(*shape)

    def restore(self):
        self.reshape()
        self._net.elide_padding, elision = self._elision
        self._net._elision.hold(elision)
        for layer, values in self._layers:
            vars(layer).update(values)
        for memory, (tensor, _) in self.memories.items():
            memory.hold(tensor)
        for memory, (_, promise) in self.memories.items():      # these are made of the tensors
            memory.later(promise)


def _are(held, others):
    return len(others) == 2 and all(mine is other for mine, other in zip(held, others))


def _ends(net):
    """(Blob, DIFF) of where a backward pass begins: gradients that it reads before it sets them."""
    found, known = [], set()
    for bottom, top, (runs, down) in reversed([*zip(net._bottoms, net._tops, net._backward_plan)]):
        if runs:
            found += [(blob, DIFF) for blob in top if blob.memories[DIFF] not in known]
            known.update(blob.memories[DIFF] for blob in top)
            known.update(blob.memories[DIFF] for blob, wanted in zip(bottom, down) if wanted)
    return found
