"""Data that change under the same names between two starts of a run."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fcn.solvers import training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments import splits
from fcn.solvers.preflight import changes
from fcn.solvers.runs import reading
from own_folder import write_data


@pytest.fixture
def own(experiment, tmp_path, monkeypatch):
    """An experiment of two iterations on data of its own, and the folder of these."""
    from fcn.nets.source import folder
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    data = write_data(tmp_path / "data")
    return replace(experiment, source=folder(data, 3), iterations=2,
                   class_names={"label": ("background", "leaf", "root")}), data


def change(path, rows):
    image = Image.open(path)
    values = np.array(image)
    values[rows] = 0
    Image.fromarray(values).save(path)


def test_masks_that_were_changed_are_named_when_the_run_goes_on(own, capsys):
    experiment, data = own
    training.train(experiment)
    assert "warning: tiny" not in capsys.readouterr().err
    change(data / "SegmentationClass/3.png", slice(2))
    change(data / "JPEGImages/5.png", slice(5))
    training.train(experiment)      # which is trained
    training.train(replace(experiment, iterations=4))
    said = [line for line in capsys.readouterr().err.splitlines()
            if line.startswith("warning: tiny: the data")]
    assert len(said) == 2 and said[0] == said[1]
    assert ("other labels under the same name: 1 sample of train, 3; other images under the same "
            "name: 1 sample of val, 5. Its log") in said[0]
    training.train(replace(experiment, iterations=6))       # on the data of the start before
    assert "the data are not those" not in capsys.readouterr().err


def test_samples_that_come_and_go_are_named(own, capsys):
    experiment, data = own
    training.train(experiment)
    (data / "ImageSets/Segmentation/train.txt").write_text("0\n1\n2\n3\n")
    training.train(replace(experiment, iterations=4))
    assert "gone: 1 sample of train, 4. Its log" in capsys.readouterr().err
    (data / "ImageSets/Segmentation/train.txt").write_text("0\n1\n2\n3\n4\n")
    training.train(replace(experiment, iterations=6))
    assert "new: 1 sample of train, 4. Its log" in capsys.readouterr().err


def test_files_that_were_copied_or_touched_are_the_same_data(own, capsys):
    experiment, data = own
    training.train(experiment)
    for path in data.rglob("*.png"):
        path.touch()
    training.train(replace(experiment, iterations=4))
    assert "the data are not those" not in capsys.readouterr().err


def test_a_run_that_starts_anew_has_no_earlier_data(own, capsys):
    experiment, data = own
    training.train(experiment)
    change(data / "SegmentationClass/3.png", slice(2))
    training.train(experiment, fresh=True)
    training.train(experiment)
    assert "the data are not those" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"train": {"0": 1}}'])
def test_a_damaged_record_is_named(own, text):
    experiment, _ = own
    training.train(experiment)
    (experiment.directory / "data.json").write_text(text)
    with pytest.raises(RunError, match="data.json: damaged: no JSON file of the data of a run.*"
                                       "Remove it: the run then goes on"):
        training.train(experiment)
    (experiment.directory / "data.json").unlink()
    training.train(replace(experiment, iterations=4))
    assert (experiment.directory / "data.json").exists()


def test_the_record_of_a_large_data_set_is_read(own, capsys):
    """It is longer than any other file of a run may be."""
    experiment, data = own
    training.train(experiment)
    record = experiment.directory / "data.json"
    record.write_text(" " * (reading.MOST_BYTES + 1) + record.read_text())
    change(data / "SegmentationClass/3.png", slice(2))
    training.train(replace(experiment, iterations=4))
    assert "other labels under the same name: 1 sample of train, 3" in capsys.readouterr().err


def test_what_the_command_has_just_looked_at_is_not_read_once_more(own, monkeypatch):
    experiment, _ = own
    splits.read_source(experiment.source)
    with monkeypatch.context() as patch:
        patch.setattr(splits, "read_split", None)
        training.train(experiment)
    assert changes.look(experiment)[0] == ""        # which reads
