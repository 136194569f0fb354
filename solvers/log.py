"""What a run says of itself while it trains: log.csv, and the learning curve drawn from it."""

import csv
from pathlib import Path

from solvers.runs import replacing


class Log:
    """log.csv: iteration, loss, smoothed loss, mean IU in percent where it was scored.

    Continuing from `iteration` drops the lines after it, which an interrupted run left.
    """

    COLUMNS = ("iteration", "loss", "smoothed_loss", "mean_iu")

    def __init__(self, directory, iteration):
        self.path = Path(directory) / "log.csv"
        lines = []
        if iteration and self.path.exists():
            with self.path.open(newline="") as file:
                lines = [row for row in csv.reader(file)
                         if row and row[0].isdigit() and int(row[0]) <= iteration]
        self.file = self.path.open("w", newline="")
        self.writer = csv.writer(self.file)
        self.writer.writerows([self.COLUMNS, *lines])

    def write(self, *values):
        self.writer.writerow(f"{value:.7g}" if isinstance(value, float) else value
                             for value in values)
        self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


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
    axis.semilogy(iterations, losses, ".-", color="#9bb7d4", linewidth=0.7, markersize=2,
                  label="loss")
    axis.semilogy(iterations, smoothed, color="#1f4e79", label="smoothed loss")
    axis.set(xlabel="iteration", ylabel="loss", title=title)
    scored = [(int(r[0]), float(r[3])) for r in rows if r[3]]
    if scored:
        right = axis.twinx()
        right.plot(*zip(*scored), "o-", color="#c0504d", label="mean IU")
        right.set(ylabel="mean IU, percent", ylim=(0, 100))
        right.annotate(f"{scored[-1][1]:.1f}", scored[-1], (-4, 6), textcoords="offset points",
                       ha="right", color="#c0504d")
    figure.legend(loc="outside lower center", ncols=3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    plt.close(figure)
