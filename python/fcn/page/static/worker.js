// Runs the net beside the page, so that the page answers meanwhile.
import * as ort from "./runtime/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
// several threads need a server that sends the headers of isolation, as `fcn page --serve` does
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;

let session, facts;

const tasks = {
  async load(given) {
    facts = given;
    const answer = await fetch("net.onnx");
    if (!answer.ok) throw new Error(`net.onnx: the server answers ${answer.status}`);
    session = await ort.InferenceSession.create(await answer.arrayBuffer());
    return {};
  },

  // pixels: R G B A of each pixel. Gives {name of an output: class of each pixel}.
  async run({ pixels, width, height }) {
    const started = performance.now();
    const rows = places(height), columns = places(width);
    const image = new ort.Tensor("float32", planes(pixels, width, rows, columns), [1, 3, rows.length, columns.length]);
    const outputs = [...new Set([facts.output, ...facts.stages.map((stage) => stage.blob)])];
    const found = await session.run({ [facts.input]: image }, outputs);
    const labels = {};
    for (const name of outputs) {
      labels[name] = largest(found[name], width, height);
      found[name].dispose();
    }
    return { labels, seconds: (performance.now() - started) / 1000 };
  },
};

// The rows, or columns, of a photograph of so many that the net is given. As with `fcn infer`, it
// gets a margin of its reflection, in which the edge is not repeated, and behind that the reflection
// of all this, in which it is, up to a multiple.
function places(size) {
  const period = Math.max(1, 2 * (size - 1)), found = [];
  for (let i = -facts.margin; i < size + facts.margin; i++) {
    const at = (i % period + period) % period;
    found.push(Math.min(at, period - at));
  }
  for (const count = found.length; found.length % facts.multiple;) {
    const at = found.length % (2 * count);
    found.push(found[Math.min(at, 2 * count - 1 - at)]);
  }
  return found;
}

// As the net was trained: planes B, G, R, each less its mean, of those rows and columns.
function planes(pixels, width, rows, columns) {
  const out = new Float32Array(3 * rows.length * columns.length);
  let i = 0;
  for (let plane = 0; plane < 3; plane++) {
    const mean = facts.mean[plane];
    for (const row of rows) {
      for (const column of columns) out[i++] = pixels[4 * (row * width + column) + 2 - plane] - mean;
    }
  }
  return out;
}

// The class with the highest score at each pixel, the first of equal ones. The scores have the size
// of the photograph, or more rows below and columns right of it.
function largest({ data: scores, dims: [, classes, rows, columns] }, width, height) {
  const best = new Float32Array(width * height).fill(-Infinity), labels = new Uint8Array(width * height);
  for (let number = 0; number < classes; number++) {
    for (let i = 0; i < best.length; i++) {
      const at = (number * rows + Math.floor(i / width)) * columns + i % width;
      if (!Number.isFinite(scores[at])) throw new Error("the net's scores are no numbers: its training failed, or its file is damaged");
      if (scores[at] > best[i]) { best[i] = scores[at]; labels[i] = number; }
    }
  }
  return labels;
}

self.onmessage = async ({ data: { id, task, given } }) => {
  try {
    self.postMessage({ id, result: await tasks[task](given) });
  } catch (error) {
    self.postMessage({ id, error: String(error.message ?? error) });
  }
};
