"""pycaffe's private names, under which old scripts look up blobs by number."""


class ByNumber:
    """What a net adds to its public names for such scripts."""

    @property
    def _blobs(self):
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self):
        return list(self.blob_loss_weights.values())

    @property
    def _blob_names(self):
        return list(self.blobs)

    @property
    def _layer_names(self):
        return [step.name for step in self.program.steps]

    @property
    def _inputs(self):
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self):
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, number):
        return [self._blob_names.index(name) for name in self.program.steps[number].spec.top]

    def _bottom_ids(self, number):
        return [self._blob_names.index(name) for name in self.program.steps[number].spec.bottom]
