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
    const image = new ort.Tensor("float32", planes(pixels), [1, 3, height, width]);
    const outputs = [...new Set([facts.output, ...facts.stages.map((stage) => stage.blob)])];
    const found = await session.run({ [facts.input]: image }, outputs);
    const labels = {};
    for (const name of outputs) {
      labels[name] = largest(found[name].data, width * height);
      found[name].dispose();
    }
    return { labels, seconds: (performance.now() - started) / 1000 };
  },
};

// As the net was trained: planes B, G, R, each less its mean.
function planes(pixels) {
  const count = pixels.length / 4, out = new Float32Array(3 * count);
  for (let plane = 0; plane < 3; plane++) {
    const mean = facts.mean[plane];
    for (let i = 0, at = 2 - plane; i < count; i++, at += 4) out[plane * count + i] = pixels[at] - mean;
  }
  return out;
}

// The class with the highest score at each pixel, the first of equal ones.
function largest(scores, count) {
  const classes = scores.length / count, best = scores.slice(0, count);
  const labels = new Uint8Array(count);
  for (let number = 0; number < classes; number++) {
    for (let i = 0, at = number * count; i < count; i++, at++) {
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
