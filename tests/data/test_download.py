"""Downloads against a local server: whole, resumed, broken, wrong; and unsafe archives."""

import hashlib
import io
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import catalog
import download
import pytest
from download import DownloadError

CONTENT = bytes(range(256)) * 400
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
    monkeypatch.setattr(download, "PAUSE", 0)
    server = Server({"file": CONTENT})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def item(*urls, size=len(CONTENT), checksum=CHECKSUM):
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
    download.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT
    assert only(target) == ["model"]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_server_that_does_not_tell_the_size(server, target, size):
    server.tells_size = False
    download.fetch(item(server.url("file"), size=size), target)
    assert target.read_bytes() == CONTENT


def test_a_part_is_continued(server, target):
    part(target, CONTENT[:1000])
    download.fetch(item(server.url("file")), target)
    assert server.asked == ["bytes=1000-"]
    assert target.read_bytes() == CONTENT
    assert only(target) == ["model"]


def test_a_server_without_ranges_sends_it_all_again(server, target):
    server.ranges = False
    part(target, b"x" * 1000)
    download.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_complete(server, target):
    part(target, CONTENT)
    download.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_replaced(server, target):
    part(target, CONTENT + b"more")
    download.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_broken_connection_is_continued_in_the_same_run(server, target):
    server.breaks = [5000, 7000]
    download.fetch(item(server.url("file")), target)
    assert server.asked == [None, "bytes=5000-", "bytes=12000-"]
    assert target.read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, target):
    server.errors = [503]
    download.fetch(item(server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_after_too_many_breaks_the_part_is_kept_for_the_next_run(server, target):
    server.breaks = [1000] * download.ATTEMPTS
    with pytest.raises(DownloadError, match="ended after 5000 of 102400.*kept in .*model.part"):
        download.fetch(item(server.url("file")), target)
    assert only(target) == ["model.part"]
    download.fetch(item(server.url("file")), target)
    assert server.asked[-1] == "bytes=5000-"
    assert target.read_bytes() == CONTENT


def test_a_file_that_is_not_there_leaves_nothing_behind(server, target):
    with pytest.raises(DownloadError, match="gone: HTTP Error 404[^;]*$"):
        download.fetch(item(server.url("gone")), target)
    assert server.asked == [None]
    assert only(target) == []


def test_the_second_url_serves_where_the_first_fails(server, target):
    download.fetch(item(server.url("gone"), server.url("file")), target)
    assert target.read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file(server, target):
    with pytest.raises(DownloadError) as caught:
        download.fetch(item(server.url("file"), checksum="sha1:" + "0" * 40), target)
    for fact in ("model", "sha1:" + "0" * 40, CHECKSUM.partition(":")[2]):
        assert fact in str(caught.value)
    assert only(target) == []


def test_a_wrong_size_is_refused_before_the_download(server, target):
    with pytest.raises(DownloadError, match="has 102400 bytes, expected 7"):
        download.fetch(item(server.url("file"), size=7), target)
    assert only(target) == []


# Archives.

def archive(path, *members, mode="w"):
    """A tar archive of (name, content) files, or of TarInfo members."""
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_extract_takes_the_folder_alone(tmp_path, mode):
    path = archive(tmp_path / "a.tar", ("top/data/img/a", b"A"), ("top/code", b"C"),
                   ("./top/data/b", b"B"), mode=mode)
    download.extract(path, "top/data", tmp_path / "out" / "set")
    found = {str(file.relative_to(tmp_path / "out")): file.read_bytes()
             for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert found == {"set/img/a": b"A", "set/b": b"B"}


@pytest.mark.parametrize("evil", [
    ("../evil", b"E"), ("top/../../evil", b"E"), ("/tmp/evil", b"E"),
    special("top/link", tarfile.SYMTYPE, "/etc"), special("top/link", tarfile.LNKTYPE, "top/a"),
    special("top/device", tarfile.CHRTYPE), special("top/pipe", tarfile.FIFOTYPE)])
def test_an_unsafe_archive_is_refused_whole(tmp_path, evil):
    path = archive(tmp_path / "a.tar", ("top/a", b"A"), evil)
    with pytest.raises(DownloadError, match=f"{path} is unsafe"):
        download.extract(path, "top", tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_truncated_archive_and_one_without_the_folder(tmp_path):
    path = archive(tmp_path / "a.tgz", ("top/a", bytes(5000)), mode="w:gz")
    with pytest.raises(DownloadError, match="holds no folder other"):
        download.extract(path, "other", tmp_path / "out" / "set")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DownloadError, match=f"{path} cannot be unpacked"):
        download.extract(path, "top", tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


# The whole of `make data-voc`, in miniature.

@pytest.fixture
def offered(server, tmp_path, monkeypatch):
    """SBD and VOC archives on the server: VOC's val is a, b, c; SBD's train is b, d."""
    contents = {
        "sbd": [("benchmark_RELEASE/dataset/train.txt", b"b\nd\n")],
        "voc2011": [("TrainVal/VOCdevkit/VOC2011/ImageSets/Segmentation/val.txt", b"a\nb\nc\n")]}
    for name, files in contents.items():
        content = archive(tmp_path / name, *files).read_bytes()
        server.files[name] = content
        monkeypatch.setitem(catalog.ITEMS, name, replace(
            catalog.ITEMS[name], urls=(server.url(name),),
            checksum="md5:" + hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(download, "SBD_TRAIN", 2)
    monkeypatch.setattr(download, "SEG11VALID", 2)
    return tmp_path / "data"


def test_get_voc(server, offered):
    download.get_voc(offered)
    assert catalog.missing("sbd", offered) is catalog.missing("voc2011", offered) is None
    valid = offered / "pascal/VOC2011/ImageSets/Segmentation/seg11valid.txt"
    assert valid.read_text() == "a\nc\n"
    assert list((offered / "downloads").iterdir()) == []
    asked = len(server.asked)
    download.get_voc(offered)
    assert len(server.asked) == asked


@pytest.mark.parametrize("split, said", [("SBD_TRAIN", "SBD train has 2 images, expected 9"),
                                         ("SEG11VALID", "seg11valid has 2 images, expected 9")])
def test_splits_of_an_unexpected_size(offered, monkeypatch, split, said):
    monkeypatch.setattr(download, split, 9)
    with pytest.raises(DownloadError, match=said):
        download.get_voc(offered)
    assert catalog.missing("voc2011", offered)


def test_get_vgg16_replaces_a_file_of_the_wrong_size(server, tmp_path, monkeypatch):
    monkeypatch.setitem(catalog.ITEMS, "vgg16", item(server.url("file")))
    path = tmp_path / catalog.ITEMS["vgg16"].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    download.get_vgg16(tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_host_that_is_not_found_is_not_tried_again(target, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 1000)
    with pytest.raises(DownloadError, match="could not download .*http://host.invalid/x"):
        download.fetch(item("http://host.invalid/x"), target)
