"""The search for the settings of the dense CRF."""

import itertools
import re
from types import SimpleNamespace

import pytest

from fcn.analysis import crf as search_of
from fcn.analysis.__main__ import main
from fcn.solvers.inference.crf import FILE, Settings, read
from small_run import small_run


@pytest.mark.parametrize("peak", [*itertools.product((5, 10), (40, 100), (3, 6))])
def test_the_search_climbs_to_the_best_of_the_grid(peak):
    rounds = []

    def measure(wanted):
        rounds.append(wanted)
        values = {f" {settings}": -sum(abs(value - best) / scale for value, best, scale
                                       in zip(settings, peak, (5, 60, 7))) for settings in wanted}
        return {name: SimpleNamespace(headline=value)
                for name, value in {"": -9.0, **values}.items()}
    without, tried = search_of.search(measure)
    assert without.headline == -9 and search_of.best_of(tried) == peak
    every = [settings for wanted in rounds for settings in wanted]
    assert len(every) == len(set(every)) == len(tried) < 80     # of 112


def test_it_prints_a_table_and_writes_the_best_for_use(tmp_path, log_as_it_is, monkeypatch,
                                                       capsys):
    monkeypatch.setattr(search_of, "AXES", ((1, 5), (10, 20), (80,)))
    monkeypatch.setattr(search_of, "COARSE", ((1,), (10,), (80,)))
    run = small_run(tmp_path)
    main(["crf", "--run", str(run.directory)])
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if re.match(r" *(\d+ +){3}", line)]
    assert sorted(row[:3] for row in rows) == [["1", "10", "80"], ["1", "20", "80"],
                                               ["5", "10", "80"], ["5", "20", "80"]]
    best, = (row for row in rows if row[-1] == "best")
    assert float(best[3]) == max(float(row[3]) for row in rows)
    assert "train_iter_4.caffemodel, 2 validation images" in said and "without CRF" in said
    assert float(best[3]) > float(re.search(r"without CRF +(\S+)", said)[1]) + 10
    assert read(run.directory / FILE) == Settings(*map(float, best[:3]))


def test_without_a_run_it_says_what_it_needs(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["crf"])
    assert "crf needs --run RUN" in str(ended.value)
