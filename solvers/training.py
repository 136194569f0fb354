"""Training one experiment: its files, and the weights that it starts or continues from."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from fcn import nets, surgery
from fcn.nets import dilated, segnet, weighted
from fcn.nets.deeplab import CLASSIFIER_SIDE
from fcn.nets.deeplab import VARIANTS as DEEPLAB
from fcn.nets.source import SEED
from fcn.solvers import (
    batch_statistics,
    log,
    options,
    preflight,
    report,
    score,
    starting,
    torchrun,
)
from fcn.solvers.command import reported
from fcn.solvers.experiments import EXPERIMENTS, MULTISCALE, Experiment, multiscale_needs
from fcn.solvers.loop import Loop
from fcn.solvers.metrics import Scores
from fcn.solvers.prediction import load_net
from fcn.solvers.preflight import Finding, changes, recipe, weights
from fcn.solvers.runs import KEEP, PROGRESS, RunError, damage
from fcn.solvers.workers import ALONE, Workers
from segdata.download import catalog
from segdata.errors import DataError, UserError
from segdata.files import make_folder, replacing
from segdata.lists import read_list

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

class MissingError(UserError):
    """Data or weights that an experiment needs and that are not there."""


def unfinished_bases(experiment: Experiment) -> list[Experiment]:
    """The experiments that have to be trained before this one, in order."""
    chain = []
    for base in experiment.bases.values():
        if base in EXPERIMENTS and not finished(EXPERIMENTS[base]):
            chain += [*unfinished_bases(EXPERIMENTS[base]), EXPERIMENTS[base]]
    return chain


def check(experiment: Experiment, trained: Iterable[Experiment] = ()) -> None:
    """Raise MissingError unless all that the experiment starts from is there.

    `trained` are experiments that will have been trained by then.
    """
    if experiment.head in MULTISCALE and not (experiment.bases or experiment.start):
        raise MissingError(f"{experiment.name} cannot start. {multiscale_needs(experiment.head)}")
    problems = [problem for name in experiment.needs if (problem := catalog.missing(name))]
    for base in set(experiment.bases.values()) - {each.name for each in trained}:
        if base in EXPERIMENTS and not finished(EXPERIMENTS[base]):
            path = final_weights(EXPERIMENTS[base])
            problem = damage(path) if path.exists() else f"{path} is missing"
            problems.append(f"{problem}: the trained {base}. Get it with `make {base}`.")
    if problems:
        raise MissingError("\n".join([f"{experiment.name} cannot start.", *problems,
                                      catalog.WITHOUT]))


def final_weights(experiment: Experiment) -> Path:
    """The caffemodel of the last iteration, that at which --patience ended the run, or that of the
    experiment; whether or not it is there."""
    return experiment.run.weights(last_iteration(experiment))


def last_iteration(experiment: Experiment) -> int:
    """The iteration at which --patience ended the run, or else the experiment's last."""
    return experiment.run.ended().get("iteration", experiment.iterations)


def finished(experiment: Experiment) -> bool:
    """Whether the last iteration is done, and its weights are whole."""
    weights = final_weights(experiment)
    return weights.exists() and not damage(weights)


# files

def write_files(experiment: Experiment, start: int) -> Path:
    """Write class names and prototxts, the data from sample `start`; returns the solver's."""
    run = experiment.run
    make_folder(run.directory / "snapshot")
    trained = dict(experiment.net, source=experiment.source)
    own = {"train": dict(trained, start=start)}
    trained.pop("filler", None)     # what is trained needs none
    written = {split: nets.fcn(experiment.head, split, **own.get(split, trained))
               for split in ("train", "val", "deploy")}
    batch_statistics.write_net(experiment, written["train"])
    _weigh(experiment, written["train"])
    paths = {split: nets.write_prototxt(run.prototxt(split), net) for split, net in written.items()}
    for i, (label, names) in enumerate(experiment.class_names.items()):
        with replacing(run.directory / f"classes{f'_{label}' * (i > 0)}.txt") as temporary:
            temporary.write_text("\n".join(names) + "\n", encoding="utf-8")
    return nets.write_prototxt(run.prototxt("solver"), solver_param(experiment, paths))


def _weigh(experiment: Experiment, net: caffe_pb2.NetParameter) -> None:
    """Give the losses of a train net the weights that the experiment's options say; those of val
    stay as they are, so that they compare from run to run."""
    by_class = experiment.options.get("class_weights", {"of": {}})["of"]
    if experiment.source.has_weights:
        weighted.weigh_pixels(net, "weight", next(iter(by_class.values()), ()))
    elif by_class:
        weighted.weigh_classes(net, {
            label: weighted.write_class_weights(
                experiment.directory.resolve() / f"class_weights_{label}.binaryproto", weights)
            for label, weights in by_class.items()})


def solver_param(experiment: Experiment, paths: dict[str, Path]) -> caffe_pb2.SolverParameter:
    """The SolverParameter of an experiment: plain momentum and the experiment's rate."""
    from caffe.proto import caffe_pb2
    rate = dict(base_lr=experiment.lr, **experiment.policy)
    if experiment.drop < 1:
        rate.update(lr_policy="multistep", gamma=0.1,
                    stepvalue=[round(experiment.drop * experiment.iterations)])
    return caffe_pb2.SolverParameter(
        train_net=str(paths["train"]), test_net=[str(paths["val"])],
        test_iter=[_val_samples(experiment)],
        test_interval=10 ** 9, test_initialization=False,    # scored by solvers/score.py
        momentum=experiment.momentum, **rate,
        iter_size=experiment.iter_size, weight_decay=experiment.weight_decay,
        max_iter=experiment.iterations, display=0, snapshot=experiment.interval,
        snapshot_prefix=str(experiment.directory / "snapshot" / "train"), random_seed=SEED)


def _val_samples(experiment: Experiment) -> int:
    return len(read_list(experiment.source.val_names))


# weights

def start_weights(experiment: Experiment, net: caffe.Net, base_nets: dict | None = None
                  ) -> list[Finding]:
    """Fill a new net: from its bases by transplant, and bilinear interpolation throughout.

    Returns what of the bases did not arrive.
    """
    reports, ends, base_nets = [], {"conv1_1_bgrd"}, base_nets or _base_nets(experiment)
    if experiment.head in segnet.VARIANTS:
        ends |= {"fc6", "fc7"}      # for which a SegNet has no use
    for suffix, base in base_nets.items():
        if experiment.head in DEEPLAB and experiment.bases[suffix] in nets.TRUNKS:
            report = surgery.decimate_classifier(net, base, DEEPLAB[experiment.head].branches,
                                                 experiment.net.get("fc6_kernel", CLASSIFIER_SIDE))
        else:
            report = surgery.transplant(net, base, suffix)
            report = _with_context(experiment, net, report)
        ends.add(list(base.params)[-1])
        if "conv1_1_bgrd" in net.params:
            surgery.expand_image(net, "conv1_1_bgrd", base, "conv1_1")
            ends.add("conv1_1")
        reports.append([step for step in report if step.name not in ends])
    surgery.interp(net, [name for name in net.params if name.startswith("upscore")])
    return list(weights.unplaced(experiment.head, reports, experiment.run.net_param("train")))


CONTEXT_NOISE = 0.001   # deviation of the weights of a large context module, which widens


def _with_context(experiment: Experiment, net: caffe.Net, report: list[surgery.Step]
                  ) -> list[surgery.Step]:
    """Have the context module of a net that has one begin as the identity; returns the report."""
    if experiment.head not in dilated.HEADS[1:]:
        return report
    steps = surgery.identity(net, dilated.context_layers(experiment.head),
                             experiment.source.classes,
                             CONTEXT_NOISE if experiment.head == dilated.HEADS[2] else 0)
    filled = {step.name for step in steps}
    return [step for step in report if step.name not in filled] + steps


def _base_nets(experiment: Experiment) -> dict[str, caffe.Net]:
    """{suffix: net} of the experiment's bases."""
    return {suffix: _classifier(experiment.build, base) if base in nets.TRUNKS else
            trained_net(EXPERIMENTS[base]) for suffix, base in experiment.bases.items()}


def _classifier(build: Path, trunk: str) -> caffe.Net:
    deploy = nets.write_prototxt(build / trunk / "deploy.prototxt", nets.classifier(trunk))
    return load_net(deploy, catalog.path(trunk), complete=True)


def trained_net(experiment: Experiment) -> caffe.Net:
    """The net of an experiment's deploy prototxt with its final weights."""
    return load_net(experiment.run.prototxt("deploy"), final_weights(experiment), complete=True)


def _continued(experiment: Experiment) -> caffe.Solver | None:
    """A solver that goes on from the newest snapshot that is of use; None where there is none.

    Raises RunError where none of them is, with what is wrong with the newest.
    """
    import caffe
    problems, before = [], _recorded_rate(experiment)
    for iteration, state in reversed(experiment.run.snapshots()):
        solver = caffe.get_solver(str(write_files(
            experiment, experiment.run.seen(iteration, experiment.images))))
        try:
            solver.restore(str(state))
        except reported() as error:
            problems.append(error)
            print(f"{state} is of no use: {error}", file=sys.stderr)
            continue
        _check_weights(solver, state)       # the snapshot before would come to the same end
        print(f"continuing {experiment.name} from {state}")
        if before not in (None, solver.param.base_lr):
            print(f"note: from iteration {iteration} on base_lr is {solver.param.base_lr:g}; it "
                  f"was {before:g}", file=sys.stderr)
        if note := _note_of_earlier_drop(experiment, iteration, state):
            print(note, file=sys.stderr)
        return solver
    if problems:
        raise RunError(f"cannot continue: {problems[0]}; no snapshot before it is of use either: "
                       f"start anew with --fresh, or remove what is in {experiment.directory}"
                       ) from problems[0]
    return None


def _recorded_rate(experiment: Experiment) -> float | None:
    """base_lr in the solver.prototxt of a run that is there; None where that cannot be read."""
    with suppress(RunError, OSError):
        return experiment.run.solver_param().base_lr
    return None


def _note_of_earlier_drop(experiment: Experiment, iteration: int, state: Path) -> str:
    """A note for a run that goes on for longer than it was to: its rate has been lowered already,
    and stays lowered, as in Caffe. '' where it has not."""
    from caffe.proto import caffe_pb2
    steps = experiment.run.solver_param().stepvalue
    if not steps:
        return ""
    drops = caffe_pb2.SolverState.FromString(state.read_bytes()).current_step
    if drops <= sum(iteration >= step for step in steps):
        return ""
    return ("note: the learning rate was lowered already, for this run was to have fewer "
            "iterations, and stays lowered, as in Caffe. To train at the first rate until "
            f"iteration {steps[0]}, start anew: --fresh --iterations {experiment.iterations}")


def _check_weights(solver: caffe.Solver, state: Path) -> None:
    """Raise RunError where the weights of a snapshot are not finite."""
    for name in solver.net.params:
        if not all(np.isfinite(blob.data).all()
                   for blob in surgery.layer_parameters(solver.net, name)):
            raise RunError(f"cannot continue from {state}: the weights of layer '{name}' are not "
                           "finite; the rate was too high. Take a lower --lr, and remove "
                           f"{state} to continue from the snapshot before, or start anew with "
                           "--fresh")


# training

def train(experiment: Experiment, base_nets: dict | None = None, *, keep: int | None = KEEP,
          force: bool = False, fresh: bool = False, patience: int | None = None,
          workers: Workers = ALONE) -> dict[str, Scores]:
    """Train an experiment to its end, from the newest snapshot if there is one.

    `base_nets`, {suffix: net}, take the place of those that the experiment's bases name. Of the
    snapshots stay the newest `keep` (None: all), the best by mean IU, and what other experiments
    start from. With `force`, findings about weights and recipe are printed, and stop nothing.
    With `fresh` it starts anew: the run that is there is removed when the new one has its first
    snapshot, and stays if it ends before. With `patience` it ends early where as many scores in
    turn have no better mean IU; called again with the same or less it stays so, with more, or
    None, it goes on. Of several `workers` all call this; that of rank 0 alone needs the bases, and
    what is in the experiment's folder.

    Returns {label: Scores} of the final weights. Writes under the experiment's directory:
    settings.json, prototxts, snapshots, log.csv, curve.png, score.json. Raises RunError where the
    directory holds another run, or one that is trained further; PreflightError for findings;
    Stopped, after a snapshot, where a signal ends it.
    """
    with ExitStack() as held:
        def hold() -> None:
            place = torchrun.place()
            is_begun = place.restarts and experiment.run.started_by() == place.start
            held.enter_context(experiment.run.locked())
            if fresh and not is_begun:
                experiment.run.set_aside()

        workers.first(hold)
        if (scores := workers.first(lambda: _trained(experiment, patience))) is not None:
            return scores
        if workers.rank:
            experiment = replace(experiment, build=Path(held.enter_context(TemporaryDirectory())))
        solver = _solver(experiment, base_nets, force, workers)
        workers.join(solver)
        lines = log.Log(experiment.directory, solver.iter)
        scores = Loop(experiment, solver, lines, keep, patience, workers).run()
        workers.first(lambda: _record_all_seen(experiment))
        return scores


def _trained(experiment: Experiment, patience: int | None) -> dict[str, Scores] | None:
    """The scores of an experiment that needs no more training; None where it does."""
    run = experiment.run
    run.check(**experiment.settings())
    iteration = max((iteration for iteration, _ in run.snapshots()), default=0)
    if iteration > experiment.iterations:
        raise RunError(f"{experiment.name} is trained to iteration {iteration}, asked for are "
                       f"{experiment.iterations}; start anew with --fresh")
    if end := run.ended():
        goes_on = _goes_on(experiment, patience)
        is_gone = not run.weights(end["iteration"]).exists()
        why, other = ((f"--patience {end['patience']} ended it", "with a larger --patience, or "
                       "without") if end["patience"] else
                      ("workers had seen all its images", "without --same-images"))
        print(f"{experiment.name}: {why} at iteration {end['iteration']}"
              + ", and the snapshot of that is gone" * is_gone
              + ("; now it goes on" if goes_on else f"; it goes on {other}"))
        if goes_on:
            run.record_end(None)
    if finished(experiment) and (scores := score.load(run, last_iteration(experiment))):
        print(f"{experiment.name} is trained: {final_weights(experiment)}")
        if missing := run.missing_files():
            write_files(experiment, run.seen(iteration, experiment.images))
            print(f"{', '.join(missing)} in {run.directory} had gone: written anew")
        with suppress(DataError):       # of data that are gone there is nothing to say
            if told := changes.look(experiment)[0]:
                print(told, file=sys.stderr)
        report.refresh(run)     # which is missing after a kill behind the last scores
        return scores
    return None


def is_to_be_trained(experiment: Experiment, patience: int | None, fresh: bool = False) -> bool:
    """Whether `train` would iterate, as far as the snapshots show."""
    return fresh or not finished(experiment) or (bool(experiment.run.ended())
                                                 and _goes_on(experiment, patience))


def _goes_on(experiment: Experiment, patience: int | None) -> bool:
    """Whether a run that ended early goes on now."""
    run = experiment.run
    end = run.ended()
    if not run.weights(end["iteration"]).exists():
        return True
    if end["patience"]:
        return not patience or patience > end["patience"]
    return experiment.iterations > end["iteration"]


def _solver(experiment: Experiment, base_nets: dict | None, force: bool, workers: Workers
            ) -> caffe.Solver:
    """The solver that begins, or goes on; of workers that are not the first one like it, which has
    yet to get its weights."""
    import caffe
    made: list[caffe.Solver] = []

    def begin() -> dict[str, bytes]:
        made.append(_begun(experiment, base_nets, force, workers.count))
        return _files(experiment) if workers.count > 1 else {}

    def follow() -> None:
        if workers.rank:
            made.append(caffe.get_solver(str(_copied(experiment, files))))

    files = workers.first(begin, "the preparation of the training")
    workers.together(follow, "the making of the net")
    return made[0]


def _begun(experiment: Experiment, base_nets: dict | None, force: bool, count: int
           ) -> caffe.Solver:
    """The solver that begins, or goes on, for `count` workers; what is found about it is said."""
    import caffe
    run = experiment.run
    solver, found = _continued(experiment), []
    told, data = changes.look(experiment)
    if told and solver is not None:
        print(told, file=sys.stderr)
    if solver is None:
        print(f"training {experiment.name}")
        solver = caffe.get_solver(str(write_files(experiment, 0)))
        found = _looked_at_weights(experiment, solver.net, base_nets)
    found += recipe.findings(run.solver_param(), run.net_param("train"), solver.net)
    preflight.report_findings(experiment.name, found, force)
    losses = filter(recipe.is_loss, run.net_param("train").layer)
    if note := options.batch_note(experiment, any(map(recipe.averaged, losses)), count):
        print(note)
    run.remove_ready_after(solver.iter)
    run.record_settings(**experiment.settings())
    changes.record(run, data)
    run.record_workers(solver.iter, experiment.images, count, torchrun.place().start)
    run.take_turn()
    return solver


# of other workers, whose machines may have another disk

def _files(experiment: Experiment) -> dict[str, bytes]:
    """{path: content} of what a solver of the experiment is made of, and its Loop reads."""
    folder = experiment.directory
    paths = [*(experiment.run.prototxt(split) for split in ("train", "val", "solver")),
             folder / PROGRESS, *folder.glob("class_weights_*.binaryproto")]
    return {str(path.resolve()): path.read_bytes() for path in paths}


def _copied(experiment: Experiment, files: dict[str, bytes]) -> Path:
    """Write `_files` to the folder of a worker's experiment; returns the solver's prototxt. A file
    that prototxts name by its path is written there where it is missing."""
    from google.protobuf import text_format
    run = experiment.run
    make_folder(run.directory / "snapshot")
    for name, content in files.items():
        path = Path(name)
        if path.suffix == ".binaryproto":
            if not path.exists():
                make_folder(path.parent)
                with replacing(path) as temporary:
                    temporary.write_bytes(content)
        else:
            (run.directory / path.name).write_bytes(content)
    param = run.solver_param()
    param.train_net, param.test_net[0] = str(run.prototxt("train")), str(run.prototxt("val"))
    param.snapshot_prefix = str(run.directory / "snapshot" / "train")
    run.prototxt("solver").write_text(text_format.MessageToString(param), encoding="utf-8")
    return run.prototxt("solver")


def _record_all_seen(experiment: Experiment) -> None:
    """Record that the run has come to its end where its workers have seen as many images as the
    table says, in fewer iterations: so that others can start from it."""
    table, iteration = EXPERIMENTS.get(experiment.name, experiment), experiment.iterations
    if (iteration < table.iterations
            and experiment.run.seen(iteration, experiment.images) >= table.iterations * table.images
            and not experiment.run.ended()):
        experiment.run.record_end(iteration)


def _looked_at_weights(experiment: Experiment, net: caffe.Net, base_nets: dict | None
                       ) -> list[Finding]:
    """Fill a new net; returns the findings about what it starts from."""
    if experiment.start:
        return [*starting.fill(experiment, net),
                *weights.findings(net, experiment.run.net_param("train"))]
    files = () if base_nets else set(experiment.bases.values()) & set(nets.TRUNKS)
    return [*(finding for name in files
              for finding in weights.not_what_its_name_says(name, catalog.path(name))),
            *start_weights(experiment, net, base_nets),
            *weights.findings(net, experiment.run.net_param("train"))]
