"""worker.js of `fcn page`: what the net is given of a photograph, and the labels of its scores."""

import json
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest

from infer_runs import scene
from segdata.augment import reflected, to_multiple

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node, which runs JavaScript")
MEAN = [104.5, 116.25, 123.0]
# in the place of onnxruntime: the scores are what the net is given, without its margin
RUNTIME = """export const env = { wasm: {} };
export class Tensor {
  constructor(type, data, dims) { Object.assign(this, { data, dims }); }
  dispose() {}
}
export const InferenceSession = { create: async () => ({
  async run({ data: { data, dims: [, , rows, columns] } }) {
    globalThis.given = { data: [...data], rows, columns };
    const margin = globalThis.facts.margin, inside = [];
    for (let i = 0; i < data.length; i++) {
      const row = Math.floor(i / columns) % rows, column = i % columns;
      if (row >= margin && row < rows - margin && column >= margin && column < columns - margin)
        inside.push(data[i]);
    }
    return { score: new Tensor("", Float32Array.from(inside),
                               [1, 3, rows - 2 * margin, columns - 2 * margin]) };
  },
}) };"""
PAGE = """import { readFileSync } from "node:fs";
const { facts, photograph } = JSON.parse(readFileSync("given.json"));
globalThis.facts = facts;
globalThis.self = globalThis;
globalThis.fetch = async () => ({ ok: true, arrayBuffer: async () => null });
globalThis.postMessage = ({ id, result, error }) => {
  if (error) throw new Error(error);
  if (id === 2) console.log(JSON.stringify({ ...given, labels: [...result.labels.score] }));
};
await import("./worker.js");
await onmessage({ data: { id: 1, task: "load", given: facts } });
await onmessage({ data: { id: 2, task: "run", given: photograph } });"""


@pytest.mark.parametrize("size", [(61, 84), (64, 32), (3, 5), (1, 2)])
@pytest.mark.parametrize("margin, multiple", [(0, 1), (92, 1), (0, 16), (7, 16)])
def test_a_photograph_is_padded_as_by_infer(size, margin, multiple, tmp_path):
    image = scene(*size)
    facts = dict(margin=margin, multiple=multiple, mean=MEAN, input="data", output="score",
                 stages=[])
    rgba = np.dstack([image, np.full(size, 255)])
    (tmp_path / "given.json").write_text(json.dumps(dict(facts=facts, photograph=dict(
        pixels=rgba.ravel().tolist(), width=size[1], height=size[0]))))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "ort.wasm.min.mjs").write_text(RUNTIME)
    (tmp_path / "page.mjs").write_text(PAGE)
    worker = resources.files("fcn.page") / "static" / "worker.js"
    (tmp_path / "worker.js").write_bytes(worker.read_bytes())
    run = subprocess.run([NODE, "page.mjs"], cwd=tmp_path, check=True, capture_output=True,
                         text=True)
    said = json.loads(run.stdout)
    planes = (image[..., ::-1] - np.array(MEAN)).transpose(2, 0, 1)
    expected = to_multiple(reflected(planes, margin), multiple)
    found = np.reshape(said["data"], (3, said["rows"], said["columns"]))
    np.testing.assert_array_equal(found, expected)
    scores = expected[:, margin:expected.shape[1] - margin, margin:expected.shape[2] - margin]
    np.testing.assert_array_equal(np.reshape(said["labels"], size),
                                  scores.argmax(0)[:size[0], :size[1]])
