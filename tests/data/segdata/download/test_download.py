"""Downloads against a local server: whole, resumed, broken, wrong; and what is made of them."""

import hashlib
import re
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_samples import tar, zipped
from segdata.download import __main__ as command
from segdata.download import catalog, fetch, prepare, splits
from segdata.errors import ArchiveError, DownloadError, MaterialError
from segdata.files import WriteError

CONTENT = bytes(range(256)) * 400
SIZE = len(CONTENT)
CHECKSUM = "sha1:" + hashlib.sha1(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`, and notes the Range of every request in `asked`."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked = []
        self.ranges = True          # heeds Range
        self.tells_size = True      # sends Content-Length
        self.errors = []            # statuses to answer with first
        self.breaks = []            # byte counts after which the next answers break off

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        content = server.files.get(self.path[1:])
        if server.errors or content is None:
            return self.answer(server.errors.pop() if server.errors else 404, b"")
        start = self.start() if server.ranges else 0
        if start >= len(content):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        extent = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self.answer(206 if start else 200, content[start:], extent if start else {})

    def start(self):
        return int(self.headers.get("Range", "bytes=0-")[6:-1])

    def answer(self, status, body, headers=()):
        self.close_connection = True
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if self.server.tells_size:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:self.server.breaks.pop(0)] if self.server.breaks else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE", 0)
    server = Server({"file": CONTENT})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def item(*urls, size=SIZE, checksum=CHECKSUM):
    return replace(catalog.ITEMS["vgg16"], urls=urls, size=size, checksum=checksum)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "weights" / "model"


def only(target):
    """The names beside the target: nothing half done may stay."""
    return [path.name for path in target.parent.iterdir()]


def part(target, content):
    target.parent.mkdir()
    target.with_name("model.part").write_bytes(content)


def test_a_whole_download(server, target):
    fetch.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT
    assert only(target) == ["model"]


@pytest.mark.parametrize("every, lines", [(10, []), (0, [
    "model: 0.1 MB of 0.1 MB", "model: 0.1 MB of 0.1 MB"])])
def test_lines_take_the_place_of_the_bar_where_there_is_no_terminal(server, target, capsys, lines,
                                                                    monkeypatch, every):
    monkeypatch.setattr(fetch, "EVERY", every)
    monkeypatch.setattr(fetch, "CHUNK", 60_000)
    fetch.fetch(item(server.url("file")), target)
    assert capsys.readouterr().err.splitlines() == [*lines, "model: 0.1 MB downloaded"]


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(server, target):
    target.parent.write_text("a file")
    with pytest.raises(WriteError, match="weights: cannot be made: File exists.*; a file has that"):
        fetch.fetch(item(server.url("file")), target)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_named_with_the_remedy(server, target):
    target.parent.mkdir()
    target.with_name("model.part").symlink_to("/dev/full")
    with pytest.raises(WriteError, match="model.part: cannot be written: No space left on device; "
                                         "free space on its disk"):
        fetch.fetch(item(server.url("file")), target)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_server_that_does_not_tell_the_size(server, target, size):
    server.tells_size = False
    fetch.fetch(item(server.url("file"), size=size), target)
    assert target.read_bytes() == CONTENT


def test_a_part_is_continued(server, target):
    part(target, CONTENT[:1000])
    fetch.fetch(item(server.url("file")), target)
    assert server.asked == ["bytes=1000-"]
    assert target.read_bytes() == CONTENT
    assert only(target) == ["model"]


def test_a_server_without_ranges_sends_it_all_again(server, target):
    server.ranges = False
    part(target, b"x" * 1000)
    fetch.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_complete(server, target):
    part(target, CONTENT)
    fetch.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_replaced(server, target):
    part(target, CONTENT + b"more")
    fetch.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_broken_connection_is_continued_in_the_same_run(server, target):
    server.breaks = [5000, 7000]
    fetch.fetch(item(server.url("file")), target)
    assert server.asked == [None, "bytes=5000-", "bytes=12000-"]
    assert target.read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, target):
    server.errors = [503]
    fetch.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_after_too_many_breaks_the_part_is_kept_for_the_next_run(server, target):
    server.breaks = [1000] * fetch.ATTEMPTS
    with pytest.raises(DownloadError, match="ended after 5000 of 102400.*kept in .*model.part"):
        fetch.fetch(item(server.url("file")), target)
    assert only(target) == ["model.part"]
    fetch.fetch(item(server.url("file")), target)
    assert server.asked[-1] == "bytes=5000-"
    assert target.read_bytes() == CONTENT


def test_a_file_that_is_not_there_leaves_nothing_behind(server, target):
    with pytest.raises(DownloadError, match="gone: HTTP Error 404[^;]*$"):
        fetch.fetch(item(server.url("gone")), target)
    assert server.asked == [None]
    assert only(target) == []


def test_the_second_url_serves_where_the_first_fails(server, target):
    fetch.fetch(item(server.url("gone"), server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file(server, target):
    with pytest.raises(DownloadError) as caught:
        fetch.fetch(item(server.url("file"), checksum="sha1:" + "0" * 40), target)
    for fact in ("model", "sha1:" + "0" * 40, CHECKSUM.partition(":")[2]):
        assert fact in str(caught.value)
    assert only(target) == []


def test_a_wrong_size_is_refused_before_the_download(server, target):
    with pytest.raises(DownloadError, match="has 102400 bytes, expected 7"):
        fetch.fetch(item(server.url("file"), size=7), target)
    assert only(target) == []


def test_a_host_that_is_not_found_is_not_tried_again(target, monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE", 1000)
    with pytest.raises(DownloadError, match="could not download .*http://host.invalid/x.*Run again "
                       rf"where the server .* put it at {re.escape(str(target))}$"):
        fetch.fetch(item("http://host.invalid/x"), target)


def test_without_a_known_checksum_what_arrived_is_told(server, target, capsys):
    unknown = item(server.url("file"), size=None, checksum=None)
    with pytest.raises(DownloadError, match="plain http, and the project knows no checksum.*--acc"):
        fetch.fetch(unknown, target)
    assert not target.exists() and not server.asked
    fetch.fetch(unknown, target, accept=True)
    said = capsys.readouterr().err
    assert "model" in said and "not verified" in said
    assert hashlib.sha256(CONTENT).hexdigest() in said
    assert target.read_bytes() == CONTENT


# The make targets, in miniature.

@pytest.fixture
def offer(server, monkeypatch):
    """offer(name, content): the server has that for the item of that name in the catalog."""
    def put(name, content):
        server.files[name] = content
        monkeypatch.setitem(catalog.ITEMS, name, replace(
            catalog.ITEMS[name], urls=(server.url(name),), size=len(content),
            checksum="md5:" + hashlib.md5(content).hexdigest()))
    return put


def complete(root, *names):
    return all(catalog.missing(name, root) is None for name in names)


def test_get_voc(server, offer, tmp_path, monkeypatch):
    """VOC's val is a, b, c; SBD's train is b, d."""
    offer("sbd", tar(("benchmark_RELEASE/dataset/train.txt", b"b\nd\n")))
    offer("voc2011", tar(("TrainVal/VOCdevkit/VOC2011/ImageSets/Segmentation/val.txt",
                          b"a\nb\nc\n")))
    monkeypatch.setattr(splits, "SBD_TRAIN", 2)
    monkeypatch.setattr(splits, "SEG11VALID", 2)
    root = tmp_path / "data"
    prepare.get("voc", root)
    assert complete(root, "sbd", "voc2011")
    valid = root / "pascal/VOC2011/ImageSets/Segmentation/seg11valid.txt"
    assert valid.read_text() == "a\nc\n"
    assert list((root / "downloads").iterdir()) == []
    asked = len(server.asked)
    prepare.get("voc", root)
    assert len(server.asked) == asked


def test_an_archive_put_there_by_hand_is_held_against_its_checksum(server, offer, tmp_path):
    """One that is wrong stays, and nothing is unpacked."""
    right = tar(("benchmark_RELEASE/dataset/train.txt", b"b\nd\n"))
    offer("sbd", right)
    root = tmp_path / "data"
    placed = root / "downloads" / "sbd"
    placed.parent.mkdir(parents=True)
    placed.write_bytes(right[:-1])
    with pytest.raises(DownloadError, match=r"downloads/sbd is not the expected file: checksum "
                                            r"\w{32}, expected md5:\w{32}\. Put the right file"):
        prepare.get_folder("sbd", root)
    assert placed.read_bytes() == right[:-1] and catalog.missing("sbd", root)
    placed.write_bytes(right)
    prepare.get_folder("sbd", root)
    assert not catalog.missing("sbd", root) and not placed.exists() and not server.asked


def test_get_context(offer, tmp_path, monkeypatch):
    offer("voc2010", tar(("VOCdevkit/VOC2010/ImageSets/Main/train.txt", b"a\nb\n"),
                         ("VOCdevkit/VOC2010/ImageSets/Main/val.txt", b"c\n"),
                         ("VOCdevkit/VOC2010/JPEGImages/a.jpg", b"A")))
    offer("context", tar(("./labels.txt", b"1: a\n"),
                         *((f"./trainval/{name}.mat", b"M") for name in "abc"), mode="w:gz"))
    offer("context59", b"1: a\n")
    monkeypatch.setattr(splits, "CONTEXT_TRAIN", 2)
    monkeypatch.setattr(splits, "CONTEXT_VAL", 1)
    prepare.get("context", tmp_path)
    assert complete(tmp_path, "voc2010", "context", "context59")
    assert (tmp_path / "pascal-context/trainval/c.mat").read_bytes() == b"M"
    assert (tmp_path / "pascal/VOC2010/JPEGImages/a.jpg").exists()


def test_get_siftflow(offer, tmp_path, monkeypatch):
    category = splits.SIFTFLOW_CATEGORIES
    files = [(f"{folder}/{category}/{name}.{suffix}", b"X") for name in ("a", "b", "c")
             for folder, suffix in (("Images", "jpg"), ("SemanticLabels", "mat"),
                                    ("GeoLabels", "mat"))]
    offer("siftflow", zipped(*files, ("TestSet1.txt", f"{category}\\b.jpg\r\n".encode())))
    monkeypatch.setattr(splits, "released", dict(siftflow_trainval=["c", "a"],
                                                 siftflow_test=["b"]).get)
    prepare.get("siftflow", tmp_path)
    assert complete(tmp_path, "siftflow")
    assert (tmp_path / "sift-flow/test.txt").read_text() == "b\n"
    assert (tmp_path / "sift-flow/trainval.txt").read_text() == "c\na\n"


def test_get_nyud(offer, tmp_path, monkeypatch, nyud_files):
    for name, path in nyud_files.items():
        offer(name, path.read_bytes())
    monkeypatch.setattr(splits, "NYUD_VAL", 1)
    monkeypatch.setattr(splits, "released", dict(nyud_train=["5003"], nyud_test=["5002"]).get)
    prepare.get("nyud", tmp_path / "data")
    assert complete(tmp_path / "data", "nyud")
    assert (tmp_path / "data/nyud/test.txt").read_text() == "5002\n"
    assert not list((tmp_path / "data/downloads").glob("nyu_depth*"))


@pytest.mark.parametrize("name", prepare.WEIGHTS)
def test_weights_of_the_wrong_size_are_replaced(offer, tmp_path, name):
    offer(name, CONTENT)
    path = tmp_path / catalog.ITEMS[name].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    prepare.get(name, tmp_path)
    assert path.read_bytes() == CONTENT


def test_an_interrupt_says_that_the_same_command_continues(monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "get", interrupted)
    monkeypatch.setattr(sys, "argv", ["download.py", "vgg16"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 130
    assert "What has arrived is kept; the same command continues" in capsys.readouterr().err


def test_the_usage_of_a_wrong_name_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["download.py", "vgg"])
    with pytest.raises(SystemExit):
        command.main()
    usage, *others = capsys.readouterr().err.splitlines()
    assert usage == ("usage: python -m segdata.download NAME [OPTIONS]; see python -m "
                     "segdata.download --help")
    assert "invalid choice: 'vgg'" in others[0]


@pytest.mark.parametrize("error", [DownloadError, MaterialError, ArchiveError])
def test_failures_are_one_line(monkeypatch, error):
    def failing(*args):
        raise error("what is wrong")

    monkeypatch.setattr(command, "get", failing)
    monkeypatch.setattr(sys, "argv", ["download.py", "voc"])
    with pytest.raises(SystemExit, match="^error: what is wrong$"):
        command.main()
