"""The learning curve of a run, from its log.csv."""

import csv


def draw(log, path, title):
    """Draw loss (left axis, logarithmic) and mean IU (right axis) over the iterations, as PNG."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    with open(log, newline="") as file:
        rows = [row + [""] * (4 - len(row)) for row in list(csv.reader(file))[1:]]
    if not rows:
        return
    iterations, losses, smoothed = zip(*((int(r[0]), float(r[1]), float(r[2])) for r in rows))
    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axis.semilogy(iterations, losses, color="#9bb7d4", linewidth=0.7, label="loss")
    axis.semilogy(iterations, smoothed, color="#1f4e79", label="smoothed loss")
    axis.set(xlabel="iteration", ylabel="loss, summed over pixels", title=title)
    scored = [(int(r[0]), float(r[3])) for r in rows if r[3]]
    if scored:
        right = axis.twinx()
        right.plot(*zip(*scored), "o-", color="#c0504d", label="mean IU")
        right.set(ylabel="mean IU, percent", ylim=(0, 100))
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=120)
    plt.close(figure)
