"""What padding elision leaves out of a net, and saves: python benchmarks/elision.py [--width W]

Prints the rows that FCN-8s' layers compute of an image, as a Markdown table, and the processor
seconds of a forward pass and a training step, with elision and without, in turns, in one process.
"""

import tempfile
import time
from pathlib import Path

from segdata.arguments import ArgumentParser
from subjects import pycaffe

TURNS = 3       # and a first that does not count


def main():
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=float, default=1.0, help="fraction of VGG-16's channels")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        net, forward = pycaffe.forward("forward-500", Path(folder), args.width)
        forward()
        print(table(net))
        print(compared("forward", net, forward))
        del net, forward
        print(compared("training step", *pycaffe.step("step-500", Path(folder), args.width)))


def table(net):
    """The rows of each layer, and those of the maps that it computes instead."""
    lines = ["| layer | rows | computed |", "| --- | --- | --- |"]
    for name, sizes in net.elided_layers.items():
        if net.layer_dict[name].type in ("Convolution", "Pooling"):
            height = net.blobs[net.top_names[name][0]].shape[2]
            lines.append(f"| {name} | {height} | {' + '.join(str(rows) for rows, _ in sizes)} |")
    return "\n".join(lines)


def compared(kind, net, run):
    """The least seconds of both, which other work disturbs least, and their ratio."""
    seconds = {True: [], False: []}
    for _ in range(TURNS + 1):
        for net.elide_padding, found in seconds.items():
            start = time.process_time()
            run()
            found.append(time.process_time() - start)
    elided, plain = (min(found[1:]) for found in seconds.values())
    return f"{kind}: {elided:.2f} s, without elision {plain:.2f} s, ratio {elided / plain:.2f}"


if __name__ == "__main__":
    main()
