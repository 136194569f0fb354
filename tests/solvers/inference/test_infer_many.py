"""infer.py on many images: its manifest, the names of outputs, lists, archives and URLs."""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import distributed

from fcn.nets.source import ROOT
from fcn.solvers import infer as command
from fcn.solvers.console.errors import EndedByAnother
from fcn.solvers.console.signals import Stopped, stop
from fcn.solvers.inference import (
    edges,
    image_source,
    manifest,
    network,
    outputs,
    plan,
    sources,
    work,
)
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.image_source import ImageSource, opened
from fcn.solvers.inference.listing import Listing, Naming
from fcn.solvers.inference.ranks import Ranks
from fcn.solvers.inference.workers import Team
from infer_runs import run, scene, small_run

pytestmark = pytest.mark.usefixtures("log_as_it_is")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    small_run(folder / "run")
    return folder


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    """The current folder, with `photos` of a.jpg, b.jpg and c.jpg."""
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(made / "run", tmp_path / "run")
    for name in "abc":
        photo(tmp_path / "photos" / f"{name}.jpg", seed=ord(name))
    return tmp_path


def photo(path, seed=0, size=(24, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(*size, seed=seed)).save(path)


def infer(*args, status=0, output="out", workers=1):
    options = ("--workers", workers) if workers else ()
    result = run(*args, "--experiment", "run", "-o", output, "--mask", *options)
    assert result.returncode == status, result.stderr
    return result


def names(folder="out"):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*")
                  if path.is_file() and not path.name.startswith("manifest."))


def entries(folder="out"):
    return [json.loads(line) for path in sorted(Path(folder).glob("manifest.*.jsonl"))
            for line in path.read_text().splitlines()]


def said(result):
    """The summary without the time."""
    return result.stdout.splitlines()[-1].partition(": ")[2].partition("; in ")[0]


def touch(path):
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1_000_000))


# the manifest

def test_a_second_run_makes_only_what_is_missing_or_has_changed(there):
    assert said(infer("photos")) == "3 segmented"
    assert names() == ["a.png", "b.png", "c.png"]
    assert said(infer("photos")) == "0 segmented, 3 were done before"
    Path("out/a.png").unlink()
    assert said(infer("photos")) == "1 segmented, 2 were done before"
    Path("out/b.png").write_bytes(b"torn")
    assert said(infer("photos")) == "1 segmented, 2 were done before"
    touch("out/b.png")      # of as many bytes, perhaps by another net
    assert said(infer("photos")) == "1 segmented, 2 were done before"
    photo(there / "photos" / "c.jpg", seed=9)
    touch("photos/c.jpg")
    assert said(infer("photos")) == "1 segmented, 2 were done before"
    infer("photos", output="anew", workers=0)
    assert names("anew") == names()
    for name in names():
        assert Path("out", name).read_bytes() == Path("anew", name).read_bytes()


@pytest.mark.parametrize("change", ["weights", "classes", "--flip", "--json"])
def test_another_net_or_option_makes_all_anew_under_the_same_names(there, change):
    infer("photos")
    before = {name: Path("out", name).read_bytes() for name in names()}
    options = ()
    if change == "weights":
        shutil.copy("run/snapshot/train_iter_1.caffemodel", "run/snapshot/train_iter_2.caffemodel")
    elif change == "classes":
        Path("run/classes.txt").write_text("background\nleaf\nroot\nrock")
    else:
        options = (change,)
    result = infer("photos/a.jpg", "photos/b.jpg", *options)
    assert said(result) == "2 segmented"
    assert ("note: out has outputs of another net, other weights or other options: those of 2 "
            "images are made anew and those of 1 images, which are not asked for now, stay as they "
            "are\n") in result.stderr
    assert said(infer("photos", *options)) == "1 segmented, 2 were done before"
    assert {name for name in names() if name.endswith(".png")} == set(before)
    if change == "weights":
        assert any(Path("out", name).read_bytes() != content for name, content in before.items())
    assert said(infer("photos", *options)) == "0 segmented, 3 were done before"
    if options:         # what the first run knew of has been replaced
        assert said(infer("photos")) == "3 segmented"


def test_an_option_that_nobody_has_sorted_makes_all_anew(there):
    given = command.options().parse_args(["photos"])
    known = manifest.NAMELESS + manifest.WITHOUT_EFFECT + manifest.IN_ANOTHER_FORM
    assert {*known, *edges.TAKEN} <= set(vars(given)), "sorted, and no option any more"
    chosen = network.choose(run="run")

    def made(**more):
        return manifest.hash_of(chosen, Namespace(**{**vars(given), **more}), ["mask"], None)

    assert made(batch=3, quiet=True) == made() != made(new_option=1)


def test_a_folder_of_an_earlier_version_stays_done(there):
    """Its hash had the values of nine options, and no names."""
    given, chosen = command.options().parse_args(["photos"]), network.choose(run="run")
    digest = hashlib.sha256()
    for path in (chosen.prototxt, chosen.weights, chosen.prototxt.with_name("classes.txt")):
        digest.update((path.read_bytes() if path.exists() else b"") + b"\0")
    values = [str(getattr(given, name)) for name in (
        "opacity", "contours", "flip", "scales", "samples", "precision", "truth", "depth", "hha")]
    digest.update(repr((["mask"], None, chosen.inputs, values)).encode())
    assert manifest.hash_of(chosen, given, ["mask"], None) == digest.hexdigest()[:32]


def test_a_process_with_other_weights_than_the_command_began_with_writes_nothing(there,
                                                                                   monkeypatch):
    monkeypatch.setattr("fcn.solvers.inference.plan.net_of", lambda *_: "of the weights before")
    assert "these weights, or the net, are not those that the run began with" in infer(
        "photos", status=1).stderr
    assert names() == [] and entries() == []


def test_failures_are_recorded_and_tried_again_with_retry(there):
    Path("photos/b.jpg").write_bytes(b"no image")
    Path("list.txt").write_text("photos/a.jpg\nphotos/b.jpg\nphotos/gone.jpg\n")
    result = infer("@list.txt", status=1)
    assert said(result) == "2 images: 1 segmented, 2 failed".partition(": ")[2] + (
        "; out/manifest.*.jsonl says why")
    assert "photos/b.jpg: not a readable image" in result.stderr
    assert "photos/gone.jpg: no such file" in result.stderr
    reasons = {Path(e["path"]).name: e["reason"] for e in entries() if "reason" in e}
    assert set(reasons) == {"b.jpg", "gone.jpg"} and "not a readable image" in reasons["b.jpg"]
    assert said(infer("photos/a.jpg", "photos/b.jpg", status=1)).startswith(
        "0 segmented, 1 were done before, 1 failed before (--retry tries them again)")
    result = infer("photos/a.jpg", "photos/b.jpg", "--retry", status=1)
    assert said(result).startswith("0 segmented, 1 were done before, 1 failed;")
    photo(there / "photos" / "b.jpg")       # mended: it has changed, and is tried by itself
    assert said(infer("photos")) == "2 segmented, 1 were done before"


def test_a_file_that_vanishes_after_it_was_listed_fails_alone(there, monkeypatch):
    make = Listing.make

    def make_and_remove(*arguments):
        listing = make(*arguments)
        Path("photos/b.jpg").unlink()
        return listing

    monkeypatch.setattr(Listing, "make", make_and_remove)
    result = infer("photos", status=1)
    assert f"error: photos/b.jpg: no such file in {there}" in result.stderr
    assert names() == ["a.png", "c.png"]
    assert [e["reason"] for e in entries() if "reason" in e]


def test_a_line_that_is_torn_loses_its_image_alone(there):
    infer("photos")
    manifest = Path("out/manifest.0.jsonl")
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:2]) + lines[2][:50])
    assert said(infer("photos")) == "1 segmented, 2 were done before"
    assert said(infer("photos")) == "0 segmented, 3 were done before"


def test_a_full_disk_ends_the_run_which_then_goes_on(there, monkeypatch):
    save = outputs.marks.save
    left = [1]

    def full(image, path):
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        save(image, path)

    monkeypatch.setattr(outputs.marks, "save", full)
    result = infer("photos", status=1)
    assert "cannot be written: No space left on device; free space on its disk" in result.stderr
    assert len(names()) == 1 and not [e for e in entries() if "reason" in e]
    monkeypatch.setattr(outputs.marks, "save", save)
    assert said(infer("photos")) == "2 segmented, 1 were done before"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is one of Linux")
def test_a_disk_that_is_full_ends_a_run_of_probabilities_too(there, monkeypatch):
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *rest, **names: opened(
        Path("/dev/full") if ".npy." in path.name else path, *rest, **names))
    result = infer("photos", "--probabilities", status=1)
    assert "No space left on device; free space on its disk" in result.stderr
    assert not [e for e in entries() if "reason" in e] and names() == []


def test_a_disk_that_was_full_for_a_moment_ends_a_run_in_batches_too(there, monkeypatch):
    save, left, saved = outputs.marks.save, [1], []

    def full(image, path):
        if left:
            left.pop()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved.append(path)
        save(image, path)

    monkeypatch.setattr(outputs.marks, "save", full)
    monkeypatch.setattr(work, "AHEAD", 1)
    assert "No space left on device" in infer("photos", "--batch", "2", status=1).stderr
    count = len(saved)
    assert count == len(names()) == len(entries()) < 3
    assert said(infer("photos")) == (f"{3 - count} segmented"
                                     + f", {count} were done before" * bool(count))


def test_what_a_killed_run_had_begun_to_write_is_removed(there):
    infer("photos")
    for name in ("out/a.png.abcdefgh.part", "out/manifest.7.lock"):
        Path(name).touch()
    Path("out/mine.part").touch()
    infer("photos")
    assert names() == ["a.png", "b.png", "c.png", "mine.part"]


def test_a_run_without_workers_goes_on_where_it_was_interrupted_and_leaves_no_manifest(
        there, monkeypatch):
    write = outputs.Outputs.write

    def interrupted(self, stem, *rest):
        if stem.name == "b":
            raise KeyboardInterrupt
        return write(self, stem, *rest)

    monkeypatch.setattr(outputs.Outputs, "write", interrupted)
    result = infer("photos", workers=0, status=130)
    assert "stopped by Ctrl-C" in result.stderr and "a.png" in names()
    monkeypatch.setattr(outputs.Outputs, "write", write)
    assert "were done before" in said(infer("photos", workers=0))
    infer("photos", output="other", workers=0)
    assert names("other") == ["a.png", "b.png", "c.png"] and not entries("other")


@pytest.mark.parametrize("older, said", [
    ((), "no image was segmented this time; the same command goes on"),
    (("old.png",), "no image was segmented this time; what lies in out is older; the same command "
     "goes on")])
def test_what_is_stopped_before_its_first_image_claims_none(there, monkeypatch, older, said):
    for name in older:
        photo(there / "out" / name)
    monkeypatch.setattr(work.Work, "do", lambda *_: stop(signal.SIGINT))
    result = infer("photos", workers=0, status=130)
    assert result.stderr.endswith(f"stopped by Ctrl-C: {said}\n")


def test_what_is_not_there_is_one_error_with_what_was_meant(there):
    folder = there.resolve()
    assert run("photo", "--experiment", "run").stderr == (
        f"error: photo: no such file in {folder} (did you mean 'photos'?)\n")
    assert run("fotos/a.jpg", "--experiment", "run").stderr.endswith(
        "(did you mean 'photos/a.jpg'?)\n")
    result = run("photos/x.jpg", "--experiment", "run")     # nothing has nearly that name
    assert result.returncode == 1
    assert result.stderr == f"error: photos/x.jpg: no such file in {folder}\n"


def test_two_runs_at_a_time_are_refused(there, monkeypatch):
    monkeypatch.setattr("fcn.solvers.inference.locks.PATIENCE", 0.1)
    with manifest.alone(Path("out"), shared=False):
        Path("out/a.png.abcdefgh.part").touch()
        for workers in (0, 1, 2):
            assert re.search(rf"error: out: another infer \(process {os.getpid()} on .*, begun .*\)"
                             " is writing to it", infer("photos", workers=workers, status=1).stderr)
        assert "another infer" in infer("photos/a.jpg", workers=0, status=1).stderr
        assert names() == ["a.png.abcdefgh.part"]
    assert said(infer("photos")) == "3 segmented"
    with manifest.alone(Path("out"), shared=True):      # single images: any number at a time
        Path("out/a.png.abcdefgh.part").touch()
        infer("photos/a.jpg", workers=0)
        assert "a.png.abcdefgh.part" in names()         # another may be writing it
        assert "another infer" in infer("photos", status=1).stderr
    assert not list(Path("out").glob("*.lock"))


def test_without_locks_nothing_is_removed_that_another_may_be_writing(there, monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr("fcn.solvers.inference.locks.fcntl.flock", flock)
    Path("out").mkdir()
    Path("out/a.png.abcdefgh.part").touch()
    said = infer("photos/a.jpg", workers=0).stderr
    assert said.count("warning: out: its file system has no locks (No locks available)") == 1
    assert {"a.png", "a.png.abcdefgh.part"} <= {*names()}


def test_quiet_prints_errors_and_the_summary(there):
    Path("photos/b.jpg").write_bytes(b"no image")
    result = infer("photos", "--quiet", status=1)
    assert len(result.stdout.splitlines()) == 1 and result.stdout.startswith("3 images: 2 segm")
    assert [line[:26] for line in result.stderr.splitlines() if "error" in line] == [
        "error: photos/b.jpg: not a"]
    assert infer("photos/a.jpg", "--quiet", workers=0).stdout == ""


def test_without_overlays(there):
    assert run("photos", "--no-overlay", "--experiment", "run", "-o", "out").returncode == 0
    assert names() == ["a.png", "b.png", "c.png"]
    result = run("photos", "--no-overlay", "--overlay", "--experiment", "run", "-o", "out")
    assert result.returncode == 1 and "exclude each other" in result.stderr


# names

def test_equal_names_in_different_folders_lie_in_folders_of_their_own(there):
    for path in ("x/1/same.jpg", "x/2/same.jpg", "x/2/same.png", "y/same.jpg"):
        photo(there / path)
    infer("x/**/*", "y")
    assert names() == ["x/1/same.png", "x/2/same.png", "x/2/same_2.png", "y/same.png"]
    assert len(entries()) == 4


def test_an_image_that_is_added_takes_no_name_of_another(there):
    photo(there / "one" / "a.jpg", seed=1)
    infer("one")
    before = Path("out/a.png").read_bytes()
    photo(there / "one" / "a.bmp", seed=2)
    assert said(infer("one")) == "1 segmented, 1 were done before"
    assert names() == ["a.png", "a_2.png"] and Path("out/a.png").read_bytes() == before
    photo(there / "two" / "a.jpg", seed=3)      # from elsewhere, to the same results
    assert said(infer("two")) == "1 segmented"
    assert names() == ["a.png", "a_2.png", "a_3.png"]
    assert Path("out/a.png").read_bytes() == before
    infer("two/a.jpg", workers=0)       # nor by a run of one image
    assert Path("out/a.png").read_bytes() == before and len(names()) == 3


def test_results_among_the_images_replace_none(there):
    photo(there / "photos" / "d.png")
    content = Path("photos/d.png").read_bytes()
    infer("photos", output="photos")
    infer("photos", output="photos")
    assert names("photos") == ["a.jpg", "a.png", "b.jpg", "b.png", "c.jpg", "c.png", "d.png",
                               "d_2.png"]
    assert Path("photos/d.png").read_bytes() == content


ODD = ["a b.jpg", "a[1]*?.jpg", "@a.jpg", "-a.jpg", "line\nfeed.jpg", "sep\u2028\x85.jpg",
       "über 日本 😀.jpg", "'quote\".jpg", "%s{}.jpg", "a#b?c=d.jpg", "x::y.jpg",
       os.fsdecode(b"latin\xe9.jpg")]


def test_any_name_that_a_file_can_have(there):
    for name in ODD:
        photo(there / "odd" / name)
    assert said(infer("odd")) == f"{len(ODD)} segmented"
    assert names() == sorted(f"{name[:-4]}.png" for name in ODD)
    assert said(infer("odd")) == f"0 segmented, {len(ODD)} were done before"
    listed = [name for name in ODD if "\n" not in name]
    Path("list.txt").write_bytes(b"\n".join(os.fsencode(f"odd/{name}") for name in listed))
    assert said(infer("@list.txt")) == f"0 segmented, {len(listed)} were done before"


# archives

def shard(path, files):
    """A tar archive of {name: bytes}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def jpegs(there):
    return {f"{name}.jpg": (there / "photos" / f"{name}.jpg").read_bytes() for name in "abc"}


def test_images_in_archives_give_what_the_files_give(there):
    shard(there / "shards" / "0.tar", {**jpegs(there), "a.cls": b"7", "sub/../../a.jpg":
                                       jpegs(there)["a.jpg"]})
    shard(there / "shards" / "1.tar", jpegs(there))
    result = infer("shards/*.tar")
    assert said(result) == "7 segmented" and "shards/0.tar/a.jpg -> out/0.tar/a.png" in (
        result.stdout)
    assert names() == sorted([*(f"{n}.tar/{name}.png" for n in "01" for name in "abc"),
                              "0.tar/sub/a.png"])
    infer("photos", output="plain")
    for name in "abc":
        assert Path(f"out/1.tar/{name}.png").read_bytes() == (
            Path(f"plain/{name}.png").read_bytes())
    assert said(infer("shards")) == "0 segmented, 7 were done before"
    with tarfile.open(there / "shards" / "1.tar", "w") as archive:
        for name in "cb":               # the later counts, as for tar
            archive.add(there / "photos" / f"{name}.jpg", "a.jpg")
    touch("shards/1.tar")
    assert said(infer("shards")) == "1 segmented, 4 were done before"
    assert Path("out/1.tar/a.png").read_bytes() == Path("plain/b.png").read_bytes()


def test_archives_that_are_damaged_give_what_they_have(there):
    whole = shard(there / "whole.tar", jpegs(there)).read_bytes()
    with tarfile.open("whole.tar") as archive:
        third = archive.getmembers()[2]
    for name, content, words, count in (
            ("cut", whole[:third.offset_data + 100], f"the archive ends after 100 of its "
             f"{third.size:,} bytes", 2),
            ("member", whole[:third.offset], "after 2 images: it lacks the mark of its end", 2),
            ("header", whole[:third.offset + 60], "damaged or ends too early, after 2 images", 2),
            ("text", b"no archive" * 99, "not a readable tar archive", 0),
            ("packed", b"\x1f\x8b" + whole, "decompress it (gunzip)", 0),
            ("empty", shard(there / "e.tar", {"a.txt": b"1"}).read_bytes(),
             "an archive without images", 0)):
        Path("bad").mkdir(exist_ok=True)
        Path(f"bad/{name}.tar").write_bytes(content)
        result = infer(f"bad/{name}.tar", "photos/c.jpg", output=f"out-{name}", status=1)
        assert words in result.stderr and f"bad/{name}.tar" in result.stderr
        assert len(names(f"out-{name}")) == count + 1
        assert [e for e in entries(f"out-{name}") if words in e.get("reason", "")]


# URLs

@pytest.fixture
def memory(there):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for name, content in jpegs(there).items():
        system.pipe(f"/bucket/{name}", content)
    system.pipe("/bucket/deep/a.jpg", jpegs(there)["a.jpg"])
    system.pipe("/shards/0.tar", shard(there / "s.tar", jpegs(there)).read_bytes())
    yield system
    system.store.clear()


@pytest.mark.parametrize("url, expected", [
    ("memory://bucket", ["a", "b", "c"]), ("memory://bucket/*.jpg", ["a", "b", "c"]),
    ("memory://bucket/b.jpg", ["b"]), ("memory://bucket/**/a.jpg", ["a", "deep/a"]),
    ("memory://shards/0.tar", ["a", "b", "c"]), ("memory://shards", ["a", "b", "c"]),
    ("@memory://list.txt", ["a", "c"]), ("file://{there}/photos/[ab].jpg", ["a", "b"]),
    ("tar://*.jpg::file://{there}/s.tar", ["a", "b", "c"])])
def test_urls(there, memory, url, expected):
    memory.pipe("/list.txt", b"memory://bucket/a.jpg\n\nmemory://bucket/c.jpg\n")
    url = url.format(there=there)
    assert said(infer(url)) == f"{len(expected)} segmented"
    assert names() == [f"{name}.png" for name in expected]
    infer("photos", output="plain")
    for name in expected:
        assert Path(f"out/{name}.png").read_bytes() == Path(
            f"plain/{Path(name).name}.png").read_bytes()
    assert said(infer(url)) == f"0 segmented, {len(expected)} were done before"


@pytest.mark.parametrize("url", [
    "tar://*.jpg::file://{there}/s.tar", "memory://shards/0.tar",
    "simplecache::tar://*.jpg::file://{there}/s.tar"])
def test_what_is_read_through_one_open_file_is_read_by_one_thread_at_a_time(there, memory, url):
    """Others would move its position in between, and get the bytes of other images."""
    first, second, *_ = [source for _, source in sources.find_all([url.format(there=there)])]
    content = []
    other = threading.Thread(target=lambda: content.append(second.content().read()))
    with opened(first) as file:
        other.start()
        other.join(0.3)
        assert not content and file.read(2)
    other.join()
    assert content == [jpegs(there)["b.jpg"]]


def test_what_has_one_connection_is_asked_by_one_thread_at_a_time(monkeypatch):
    """As an FTP server, of which each thread would get what is meant for others."""
    class Server(pytest.importorskip("fsspec.implementations.ftp").FTPFileSystem):
        cachable = False

        def _connect(self):
            pass

        def __del__(self):
            pass

        def info(self, path):
            return {"size": len(path), "modify": path}

        def open(self, path, mode):
            return io.BytesIO(path.encode())

    server = Server("nowhere")
    monkeypatch.setattr(image_source, "file_system", lambda url: server)
    sources = [ImageSource(name, name, "ftp://nowhere") for name in ("a.jpg", "b.jpg")]
    found = []
    asking = threading.Thread(target=lambda: found.append(sources[1].version()))
    reading = threading.Thread(target=lambda: found.append(sources[1].content().read()))
    with opened(sources[0]):
        for other in asking, reading:
            other.start()
            other.join(0.3)
        assert not found
    asking.join(), reading.join()
    assert sorted(map(str, found)) == ["(5, 'b.jpg')", "b'b.jpg'"]


@pytest.mark.parametrize("url", ["tar://*.jpg::memory://cut.tar", "tar://::file://{there}/cut.tar",
                                 "simplecache::tar://**::file://{there}/cut.tar"])
def test_a_tar_archive_at_a_url_that_is_cut_says_so(there, memory, url):
    """fsspec takes any damage behind the first member for the end."""
    whole = (there / "s.tar").read_bytes()
    with tarfile.open("s.tar") as archive:
        content = whole[:archive.getmembers()[2].offset]
    memory.pipe("/cut.tar", content)
    Path("cut.tar").write_bytes(content)
    result = infer(url.format(there=there), status=1)
    assert "the archive is damaged or ends too early" in result.stderr
    assert names() == ["a.png", "b.png"]
    alone = url.replace("*.jpg", "a.jpg").replace("://::", "://a.jpg::").replace("**", "a.jpg")
    infer(alone.format(there=there), output="alone")


@pytest.mark.parametrize("url, words", [
    ("memory://bucket/none.jpg", "memory://bucket/none.jpg: no such file"),
    ("memory://none", "memory://none: no such file or folder"),
    ("memory://bucket/*.png", "no image has such a name"),
    ("nosuch://a/b.jpg", "nosuch://a: fsspec has no such file system: Protocol not known"),
    ("@memory://none.txt", "memory://none.txt: no such file"),
    ("tar://*::memory://bucket/a.jpg", "bucket/a.jpg: the archive is damaged, or compressed"),
    ("zip://a.jpg::memory://shards/0.tar", "shards/0.tar: the archive is damaged, or compressed"),
    ("zip://*::memory://none.zip", "none.zip: no such file")])
def test_urls_that_cannot_be_read_fail_alone(there, memory, url, words):
    result = infer(url, "photos/a.jpg", status=1)
    assert words in result.stderr.replace("///", "//") and len(names()) == 1


def test_what_changes_at_a_url_is_made_anew(there, memory):
    infer("memory://bucket")
    memory.pipe("/bucket/a.jpg", jpegs(there)["b.jpg"])
    assert said(infer("memory://bucket")) == "1 segmented, 2 were done before"


# lists

def test_lists_in_lists_and_lists_that_name_themselves(there):
    Path("one.txt").write_text("photos/a.jpg\n@two.txt\n")
    Path("two.txt").write_text("photos/b.jpg\n")
    infer("@one.txt")
    assert names() == ["a.png", "b.png"]
    Path("two.txt").write_text("@one.txt\n")
    assert "a list that names itself" in infer("@one.txt", status=1).stderr


def test_the_list_may_be_closed_by_another_thread_than_the_one_that_reads_it(tmp_path):
    """As when an error ends the run while the next images are being read."""
    (tmp_path / "list.txt").write_text("memory://a.jpg\nmemory://b.jpg\n")
    naming = Naming(tmp_path, True, lambda source: [".png"], lambda source: [], [])
    jobs = Listing.make(tmp_path / "list.sqlite", sources.find_all([f"@{tmp_path / 'list.txt'}"]),
                        naming, []).jobs(0, 1)
    found = []
    reader = threading.Thread(target=lambda: found.append(next(jobs).stem))
    reader.start()
    reader.join()
    jobs.close()
    assert found == ["a"]


def test_the_memory_does_not_grow_with_the_images(tmp_path):
    """Of a list of URLs, which alone take 130,000 bytes."""
    (tmp_path / "list.txt").write_text("".join(
        f"memory://bucket/folder/with/a/long/name/photograph{number}.jpg\n"
        for number in range(2_000)))
    naming = Naming(tmp_path, True, lambda source: [".png", "_overlay.png"], lambda source: [], [])
    list(sources.find_all(["memory://bucket/a.jpg"]))        # imports
    tracemalloc.start()
    listing = Listing.make(tmp_path / "list.sqlite",
                           sources.find_all([f"@{tmp_path / 'list.txt'}"]), naming, [])
    stems = sum(len(job.stem) for job in listing.jobs(0, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert listing.count == 2_000 and stems > 2_000 and peak < 120_000


# ranks

LATE = """
import shutil, sys
from fcn.solvers import infer
from fcn.solvers.inference import plan, ranks
find_all = plan.find_all
def late(*arguments):
    shutil.copy("photos/a.jpg", "photos/0.jpg")
    return find_all(*arguments)
if {late}:
    plan.find_all, ranks.POLL = late, 1.0
sys.exit(infer.main())
"""


def ranks(*args, run=("--experiment", "run")):
    """Two ranks, of which the second would list one image more, and is slow to listen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [subprocess.Popen(
        [sys.executable, "-c", LATE.format(late=rank == 1), *args, *run, "-o", "out",
         "--mask"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
             "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2",
             "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])}) for rank in range(2)]
    try:
        return [(*process.communicate(timeout=120), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()


def test_ranks_share_the_list_that_rank_0_made_and_any_number_goes_on(there):
    (out, err, status), (_, err1, status1) = ranks("photos")
    assert (status, status1) == (0, 0), err + err1
    assert out.splitlines()[-1].startswith("3 images: 3 segmented")
    assert sorted(Path(e["path"]).stem for e in entries()) == ["a", "b", "c"]
    assert [path.name for path in sorted(Path("out").glob("*.*"))] == [
        "a.png", "b.png", "c.png", "manifest.0.jsonl", "manifest.1.jsonl"]
    assert said(infer("photos")) == "0 segmented, 3 were done before"


def test_rank_0_alone_says_which_run_was_taken(there, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(Path.cwd()))
    (out, err, status), (out1, err1, status1) = ranks("photos", run=())
    assert (status, status1) == (0, 0), err + err1
    assert out.count("run: the only run (--experiment chooses another)") == 1
    assert "run" not in out1 + err1


@pytest.mark.parametrize("arguments, words, number", [
    (("none.jpg", "--experiment", "run"), "error: none.jpg: no such file in", 1),
    (("photos", "--experiment", "nothing"), "error: no run 'nothing'", 1),
    (("photos", "--overlay", "--no-overlay"), "--overlay and --no-overlay exclude each other", 1),
    (("photos", "--nothing"), "error: there is no option --nothing", 2)])
def test_where_they_cannot_begin_rank_0_alone_says_why(there, arguments, words, number):
    (_, err, status), (out1, err1, status1) = ranks(*arguments, run=())
    assert (status, status1) == (number, number) and words in err
    assert (out1, err1) == ("", "") and not Path("out").exists()


@pytest.mark.parametrize("error, waits", [(Stopped(signal.SIGINT), False),
                                          (InferError("no run"), True)])
def test_rank_0_waits_for_the_others_unless_a_signal_has_ended_them(monkeypatch, error, waits):
    """Where it cannot begin; here nobody listens."""
    def choose(*_):
        raise error
    first = Ranks(0, 1)
    first.count, first.store = 2, distributed.HashStore()
    monkeypatch.setattr(plan, "Ranks", lambda *_: first)
    monkeypatch.setattr(plan, "choose", choose)
    monkeypatch.setattr("fcn.solvers.inference.ranks.HEARING", 1.0)
    begin = time.monotonic()
    with pytest.raises(type(error)), \
            plan.shared_plan(command.options().parse_args(["x.jpg"]), Team(0, 2)):
        pass
    assert (time.monotonic() - begin >= 1) == waits
    assert first.store.get("plan") == b"null"


def test_the_others_end_behind_rank_0_where_they_cannot_begin(monkeypatch):
    """Torchrun ends all with the first that ends, so that rank 0 would not say why."""
    monkeypatch.setattr("fcn.solvers.processes.torchrun.LEAVING", 0.5)
    first, other, ended = Ranks(0, 1), Ranks(1, 1), []
    first.count = other.count = 2
    first.store = other.store = distributed.HashStore()

    def hear():
        with pytest.raises(EndedByAnother):
            other.hear()
        ended.append(1)
    thread = threading.Thread(target=hear)
    thread.start()
    first.refuse(waits=True)
    ended.append(0)
    thread.join()
    assert ended == [0, 1]


def test_rank_0_alone_helps(there):
    (out, _, status), (out1, err1, status1) = ranks("--help", run=())
    assert (status, status1) == (0, 0) and out.startswith("usage: ") and (out1, err1) == ("", "")


@pytest.mark.parametrize("rank, count, options, words", [
    ("2", "2", (), "RANK=2 and WORLD_SIZE=2; ranks are 0 to WORLD_SIZE - 1"),
    ("x", "2", (), "RANK=x, expected a whole number"),
    ("", "2", (), "error: the environment says RANK='', expected a whole number"),
    ("0", "2", (), "no MASTER_ADDR and no MASTER_PORT"),
    ("0", "2", ("--workers", "2"), "--workers starts processes, and torchrun has already")])
def test_ranks_that_cannot_be(there, monkeypatch, rank, count, options, words):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    assert words in infer("photos", *options, workers=0, status=1).stderr


@pytest.mark.parametrize("value", ["0,0", "x", "0,", "-1"])
def test_gpus_that_cannot_be(there, value):
    result = run("photos", "--gpu", value, "--experiment", "run")
    assert result.returncode == 2 and "--gpu" in result.stderr


def test_depth_beside_the_images_is_part_of_what_outputs_depend_on(there):
    Path("truth").mkdir()
    Image.fromarray(np.zeros((24, 32), np.uint8)).save("truth/a.png")
    infer("photos/a.jpg", "--truth", "truth")
    assert said(infer("photos/a.jpg", "--truth", "truth")) == "0 segmented, 1 were done before"
    touch("truth/a.png")
    assert said(infer("photos/a.jpg", "--truth", "truth")) == "1 segmented"


# links

def test_links_in_the_results_do_not_lead_out_of_them(there):
    """To the photographs themselves, at the worst."""
    before = Path("photos/a.jpg").read_bytes()
    Path("more").mkdir()
    Path("more/d.jpg").write_bytes(before)
    Path("out").mkdir()
    Path("out/photos").symlink_to("../photos")
    result = infer("photos/*", "more/*", status=1)
    assert "out/photos is, or lies in, a symbolic link to" in result.stderr
    assert names("photos") == ["a.jpg", "b.jpg", "c.jpg"]
    assert Path("photos/a.jpg").read_bytes() == before


def test_links_to_nothing_are_told_and_do_not_hide_the_others(there):
    Path("photos/0.png").symlink_to("0.png")        # a loop
    Path("photos/1.png").symlink_to("none.png")
    result = infer("photos", status=1)
    assert names() == ["a.png", "b.png", "c.png"]
    assert "photos/0.png" in result.stderr and "photos/1.png: no such file" in result.stderr
    assert said(result).startswith("3 segmented, 2 failed")


def test_a_url_of_a_file_does_not_overwrite_it(there):
    before = Path("photos/a.jpg").read_bytes()
    Path("photos/a.png").write_bytes(Path("photos/b.jpg").read_bytes())
    infer(f"file://{there}/photos/a.png", f"file://{there}/photos", output="photos")
    assert Path("photos/a.jpg").read_bytes() == before
    assert Path("photos/a.png").read_bytes() == Path("photos/b.jpg").read_bytes()
