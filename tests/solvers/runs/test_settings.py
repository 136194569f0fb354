"""How the settings of a run differ from those asked for, and how it goes on, in words."""

import pytest

from fcn.solvers.runs.settings import difference

ANEW = "start anew (--fresh), or take another folder (--name NAME)"


@pytest.mark.parametrize("before, now, said", [
    ({"head": "fcn8s"}, {"head": "fcn8s"}, ""),
    ({"--crop": [24, 32]}, {}, "--crop [24, 32], now asked for is none. To go on with it, repeat "
     f"--crop 24x32. Or {ANEW}"),
    ({"--crop": 24}, {"--crop": 32}, f"repeat --crop 24. Or {ANEW}"),
    ({"--scale": [0.5, 1.5]}, {}, "repeat --scale 0.5,1.5. Or"),
    ({"--mirror": False}, {}, "repeat --no-mirror. Or"),
    ({"--pixel-weights": "/my maps"}, {}, "repeat --pixel-weights '/my maps'. Or"),
    ({"--class-weights": {"as": "median", "of": {"label": [1, 2]}}}, {},
     "repeat --class-weights median. Or"),
    ({"--class-weights": {"as": "numbers", "of": {"label": [1, 2.5]}}}, {},
     "repeat --class-weights 1,2.5. Or"),
    ({"--lr": 1e-8, "--iterations": 1200}, {}, "--lr 1e-08, now asked for is none; with "
     "--iterations 1200, now asked for is none. To go on with it, repeat --lr 1e-08 --iterations "
     "1200 (--lr and --iterations may have another value). Or"),
    ({"--lr": 1e-8, "--crop": 24}, {"--lr": 2e-8}, f"on with it, repeat --crop 24. Or {ANEW}"),
    ({"--lr": 1e-8}, {"--lr": 2e-8, "--iterations": 5}, ""),
    ({}, {"--batch": 4}, "without --batch, now asked for is 4. To go on with it, leave out "
     "--batch."),
    ({"--jitter": 3}, {"--batch": 4}, "repeat --jitter 3 and leave out --batch. Or"),
    ({"from": "/a", "width": 0.5, "scale": 0.1, "fc6_kernel": 3}, {"width": 0.125},
     f"--from '/a', now asked for is none. To go on with it, repeat --from /a. Or {ANEW}"),
    ({"width": 0.5}, {"from": "vgg16", "width": 1}, "without --from, now asked for is 'vgg16'. To "
     f"go on with it, leave out --from. Or {ANEW}"),
    ({"data": "/a"}, {"data": "/b"}, f"with data '/a', now asked for is '/b'. Start {ANEW[6:]}"),
    ({"seed": 0}, {"seed": 1}, "--seed 0, now asked for is 1. To go on with it, repeat --seed 0. "
     "Or take another folder (-o FOLDER behind `fcn demo` or `fcn analysis NAME`)"),
    ({"data": "seed 0", "width": 1}, {"data": "seed 0", "width": 2}, "with --width 1, now asked "
     "for is 2. Take another folder (-o FOLDER behind `fcn demo` or"),
    ({"data": "", "--lr": 1}, {"data": ""}, "repeat --lr 1 (--lr may have another value). Or start "
     "anew (--fresh), or take another folder (FCN_BUILD=FOLDER before the command)"),
])
def test_what_differs_and_how_to_go_on(before, now, said):
    """In another folder lies what has another --name; an experiment of the table has none."""
    if before != {"seed": 0}:
        before, now = {"data": "/mine", **before}, {"data": "/mine", **now}
    assert said in difference(before, now)
    assert said or not difference(before, now)


@pytest.mark.parametrize("defaults, said", [
    ({"crop": (388, 388), "batch": 1}, "without --crop (the default was 388x388), now asked for is "
     "164. To go on with it, leave out --crop."),
    ({}, "without --crop, now asked for is 164. To")])
def test_what_an_option_was_that_was_not_given(defaults, said):
    assert difference({}, {"--crop": 164}, defaults).startswith(said)
