"""The datasets of the papers: what they need, their classes, and how they are scored."""

from typing import NamedTuple

from segdata.cell_files import CLASSES as CELLS
from segdata.classes import CAMVID, NYUD, PASCALCONTEXT, SIFTFLOW, SIFTFLOW_GEOMETRIC, VOC


class Dataset(NamedTuple):
    """A dataset.

    needs : names in segdata.download.catalog
    class_names : {label: names of its classes, in order}
    unscored : classes of the (first) label that are trained but do not count in the scores
    in_truth : whether mean IU is over the classes in the truth alone, see solvers.scoring.metrics
    """
    needs: tuple
    class_names: dict
    unscored: tuple = ()
    in_truth: bool = False


DATASETS = {
    "voc": Dataset(("sbd", "voc2011"), {"label": VOC}),
    "voc2012": Dataset(("sbd", "voc2012"), {"label": VOC}),
    "camvid": Dataset(("camvid",), {"label": CAMVID}),
    "nyud": Dataset(("nyud",), {"label": NYUD}),
    # the test set lacks classes; the paper leaves them out
    "siftflow": Dataset(("siftflow",), {"sem": SIFTFLOW, "geo": SIFTFLOW_GEOMETRIC},
                        in_truth=True),
    "pascalcontext": Dataset(("voc2010", "context", "context59"), {"label": PASCALCONTEXT}, (0,)),
    **{name: Dataset((name,), {"label": CELLS}) for name in ("isbi", "phc", "dic")},
}
