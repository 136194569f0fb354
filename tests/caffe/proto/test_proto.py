"""The schema against the recorded one of the original, and what importing it costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from caffe.proto import caffe_pb2

GOLDEN = Path(__file__).parents[2] / "golden"
SCHEMA = json.loads((GOLDEN / "caffe_schema.json").read_text())
TYPES = {getattr(FieldDescriptor, name): name[len("TYPE_"):].lower()
         for name in vars(FieldDescriptor) if name.startswith("TYPE_")}


def walk(messages):
    for message in messages:
        yield message
        yield from walk(message.nested_types)


MESSAGES = {m.full_name: m for m in walk(caffe_pb2.DESCRIPTOR.message_types_by_name.values())}
ENUMS = {e.full_name: e for owner in (caffe_pb2.DESCRIPTOR, *MESSAGES.values())
         for e in owner.enum_types_by_name.values()}


def described(field):
    """A field in the form of the recording."""
    kind = field.message_type or field.enum_type
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == 3
    required = field.is_required if hasattr(field, "is_required") else field.label == 2
    found = {"name": field.name, "number": field.number,
             "type": kind.full_name if kind else TYPES[field.type],
             "label": "repeated" if repeated else "required" if required else "optional"}
    if field.has_default_value:
        found["default"] = (field.enum_type.values_by_number[field.default_value].name
                            if field.enum_type else field.default_value)
    if field.GetOptions().packed:
        found["packed"] = True
    return found


def test_the_same_messages_and_enums():
    assert set(MESSAGES) == set(SCHEMA["messages"])
    assert set(ENUMS) == set(SCHEMA["enums"])


@pytest.mark.parametrize("name", SCHEMA["messages"])
def test_message(name):
    found = {field.name: described(field) for field in MESSAGES[name].fields}
    assert found == {field["name"]: field for field in SCHEMA["messages"][name]}


@pytest.mark.parametrize("name", SCHEMA["enums"])
def test_enum(name):
    assert {v.name: v.number for v in ENUMS[name].values} == SCHEMA["enums"][name]


def test_enum_values_are_reached_as_in_generated_code():
    assert caffe_pb2.TRAIN == 0 and caffe_pb2.TEST == 1
    assert caffe_pb2.PoolingParameter.MAX == 0 and caffe_pb2.Phase.Value("TEST") == 1


def test_nets_are_written_without_torch():
    script = ("import sys, caffe\n"
              "from caffe import layers as L, params as P\n"
              "from caffe.coord_map import crop\n"
              "n = caffe.NetSpec(); n.x = L.Input(shape=dict(dim=[1, 3, 8, 8]))\n"
              "n.y = L.Pooling(n.x, pool=P.Pooling.MAX, kernel_size=2, stride=2)\n"
              "n.z = crop(n.x, n.x); str(n.to_proto())\n"
              "sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", script], check=False,
                          env={"PYTHONPATH": ":".join(filter(None, sys.path))}).returncode == 0
