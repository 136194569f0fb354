"""The side of the original: plays jobs on BVLC Caffe, whose python folder BVLC_PYCAFFE names.

Its input is pickles of (name in plays.PLAYS, arguments by name), its output of Outcomes, as tuples.
The first pickle of its output is the types of layers that this build has, where it can say so, the
second "Message.field" for each field of its schema. Each job runs in a process of its own, since a
failed CHECK of the original ends it.
"""

import os
import pickle
import sys
import tempfile

sys.path.insert(0, os.environ["BVLC_PYCAFFE"])
os.environ.update(GLOG_minloglevel="2", OPENBLAS_NUM_THREADS="1")

from plays import PLAYS  # noqa: E402

import caffe  # noqa: E402
from caffe.proto import caffe_pb2  # noqa: E402


def main():
    if hasattr(caffe, "CaffeError"):
        sys.exit(f"BVLC_PYCAFFE names no BVLC Caffe: {caffe.__file__} is this project's own")
    caffe.set_mode_cpu()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = sys.stdin.buffer
    send(answers, list(getattr(caffe, "layer_type_list", list)()))     # old forks have none
    messages = caffe_pb2.DESCRIPTOR.message_types_by_name.values()
    send(answers, [f"{each.name}.{field.name}" for each in messages for field in each.fields])
    while True:
        try:
            name, arguments = pickle.load(jobs)
        except EOFError:
            return
        send(answers, in_fork(name, arguments))


def send(stream, what):
    pickle.dump(what, stream)
    stream.flush()


def in_fork(name, arguments):
    """([{what: array} of each operation that ended], why the next did not, or None)."""
    with tempfile.TemporaryFile() as log:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            os.dup2(log.fileno(), 2)
            with os.fdopen(writer, "wb") as stream:
                try:
                    for result in PLAYS[name](caffe, **arguments):
                        send(stream, result)
                    send(stream, None)
                except Exception as error:
                    send(stream, f"{type(error).__name__}: {error}")
            os._exit(0)
        os.close(writer)
        results = []
        with os.fdopen(reader, "rb") as stream:
            while True:
                try:
                    result = pickle.load(stream)
                except (EOFError, pickle.UnpicklingError):
                    result = ended(child, log)
                    break
                if not isinstance(result, dict):
                    os.waitpid(child, 0)
                    break
                results.append(result)
        return results, result


def ended(child, log):
    """Why the child ended in the midst of a job: its first fatal line, or its status."""
    status = os.waitpid(child, 0)[1]
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    return next((line for line in lines if line.startswith("F")), f"ended with status {status}")


if __name__ == "__main__":
    main()
