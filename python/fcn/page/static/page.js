// The page: takes a photograph, has worker.js run the net, shows what it says.
const $ = (id) => document.getElementById(id);
const SIDES = [256, 384, 500, 768, 1024];
const facts = await (await fetch("page.json")).json();
const answers = new Map();
let worker, wanted = 0, shown = null;   // shown: what the page last computed

// the worker

function ask(task, given) {
  return new Promise((resolve, reject) => {
    const id = Math.random();
    answers.set(id, { resolve, reject });
    worker.postMessage({ id, task, given });
  });
}

function startWorker() {
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => {
    const { resolve, reject } = answers.get(data.id);
    answers.delete(data.id);
    data.error === undefined ? resolve(data.result) : reject(new Error(data.error));
  };
  worker.onerror = () => say("This browser cannot run the net: it lacks WebAssembly or module workers, or a file of the page is missing.", "bad");
}

// what is said

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind === "bad" ? "bad" : "";
  $("try").classList.toggle("busy", kind === "busy");
}

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

const percent = (share) => share >= 0.0005 ? `${(100 * share).toFixed(1)}%` : "< 0.1%";
const clear = (number) => number === 0 && facts.background;

function swatch(number) {
  const made = element("i", "", clear(number) ? "clear" : "");
  if (!clear(number)) made.style.background = `rgb(${facts.colours[number]})`;
  return made;
}

function tellFacts() {
  document.title = `Try “${facts.name}” on a photograph`;
  $("lead").textContent = `Choose a photograph, and the net “${facts.name}” says of every pixel which of ${facts.classes.length} classes it shows.`;
  const steps = facts.iterations?.toLocaleString("en");
  const rows = [
    ["Trained on", facts.data ?? "not recorded"],
    ["Training", steps ? `${steps} iterations` : "number of iterations not recorded"],
    ["How good it is", facts.mean_iu === null ? "not measured" : `mean IU ${facts.mean_iu.toFixed(1)}%`,
      facts.mean_iu === null ? "Nobody has compared this net with true labels." : "On images that it did not train on: the area where prediction and truth agree, of the area that either covers, averaged over the classes. 100% would be perfect."]];
  for (const [name, value, more] of rows) {
    const entry = element("dd", value);
    if (more) entry.append(element("small", more));
    $("facts").append(element("dt", name), entry);
  }
  $("longer").hidden = $("about").hidden = false;
  $("drawn").hidden = !facts.drawn;
  $("known").textContent = `The ${facts.classes.length} classes that it knows`;
  facts.classes.forEach((name, number) => {
    const entry = element("li");
    entry.append(swatch(number), element("span", name));
    $("classes").append(entry);
  });
  for (const side of [...new Set([...SIDES, facts.side])].sort((a, b) => a - b)) {
    $("side").append(new Option(`${side} pixels`, side, side === facts.side, side === facts.side));
  }
  $("footer").textContent = `Written by fcn page. The net runs in ${facts.runtime} (MIT licence).`;
}

// a photograph

async function open(file) {
  const mine = ++wanted;
  try {
    say("Reading the photograph …", "busy");
    const photograph = await read(file);
    say(`Computing ${photograph.width} × ${photograph.height} pixels …`, "busy");
    const { pixels, width, height } = photograph;
    const found = await ask("run", { pixels, width, height });
    if (mine !== wanted) return;        // another photograph was chosen meanwhile
    shown = { ...photograph, ...found, file };
    globalThis.shown = shown;           // for scripts: {pixels, width, height, labels, seconds}
    show();
    say("");
  } catch (error) {
    if (mine === wanted) say(explained(error, file), "bad");
  }
}

function explained(error, file) {
  if (error.name === "InvalidStateError" || error.name === "EncodingError") return `${file.name} is no image that this browser can read. JPEG and PNG always work.`;
  if (/memory|alloc/i.test(error.message)) return "There is not enough memory for that size. Choose a smaller one, or reload the page.";
  return `That did not work: ${error.message}`;
}

// The pixels, upright, scaled down to the side that is chosen; transparent parts are white.
async function read(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const scale = Math.min(1, $("side").value / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const of = [bitmap.width, bitmap.height];
  bitmap.close();
  return { pixels: context.getImageData(0, 0, width, height).data, width, height, of };
}

// what is shown

function show() {
  $("try").classList.add("done");
  $("result").hidden = false;
  $("picture").classList.toggle("small", shown.width < 300);
  const [width, height] = shown.of, scaled = width !== shown.width || height !== shown.height;
  $("caption").textContent = `${shown.width} × ${shown.height} pixels`
    + (scaled ? `, scaled down from ${width} × ${height}` : ", its own size")
    + `; computed in ${shown.seconds.toFixed(1)} s on this machine.`;
  paint();
  showShares();
  showStages();
}

// The photograph under the colours of its classes; only : the one class to show, of all others grey
function picture(canvas, labels, opacity, only = null) {
  const { pixels, width, height } = shown, image = new ImageData(width, height), out = image.data;
  for (let i = 0, at = 0; i < labels.length; i++, at += 4) {
    const number = labels[i], colour = facts.colours[number];
    const faded = only !== null && number !== only;
    const grey = faded ? (pixels[at] + pixels[at + 1] + pixels[at + 2]) / 3 * 0.35 + 150 : 0;
    const part = faded ? 0 : clear(number) && opacity < 1 ? 0 : opacity;
    for (let k = 0; k < 3; k++) {
      out[at + k] = part * colour[k] + (1 - part) * (faded ? grey : pixels[at + k]);
    }
    out[at + 3] = 255;
  }
  Object.assign(canvas, { width, height }).getContext("2d").putImageData(image, 0, 0);
}

function paint(only = null) {
  const view = document.querySelector("[data-view][aria-pressed=true]").dataset.view;
  const opacity = { overlay: Math.min(0.99, $("opacity").value / 100), photograph: 0, classes: 1 }[view];
  picture($("picture"), shown.labels[facts.output], opacity, only);
}

function showShares() {
  const labels = shown.labels[facts.output], counts = new Array(facts.classes.length).fill(0);
  for (const number of labels) counts[number]++;
  const there = counts.map((count, number) => [count / labels.length, number])
    .filter(([share]) => share > 0).sort(([a], [b]) => b - a);
  $("shares").replaceChildren(...there.map(([share, number]) => {
    const entry = element("li"), track = element("span", "", "track"), bar = element("b");
    bar.style.width = `${100 * share}%`;
    bar.style.background = clear(number) ? "var(--soft)" : `rgb(${facts.colours[number]})`;
    track.append(bar);
    entry.append(swatch(number), element("span", facts.classes[number], "name"),
      element("span", percent(share), "share"), track);
    entry.tabIndex = 0;
    for (const event of ["pointerenter", "focus"]) entry.addEventListener(event, () => paint(number));
    for (const event of ["pointerleave", "blur"]) entry.addEventListener(event, () => paint());
    return entry;
  }));
}

function showStages() {
  $("strides").hidden = facts.stages.length === 0;
  $("stages").classList.toggle("small", shown.width < 300);
  $("stages").replaceChildren(...facts.stages.map(({ stride, blob }, i) => {
    const figure = element("figure"), canvas = element("canvas"), caption = element("figcaption");
    picture(canvas, shown.labels[blob], 0.75);
    canvas.role = "img";
    canvas.ariaLabel = `What the net says at stride ${stride}`;
    const last = i === facts.stages.length - 1;
    caption.append(element("b", `Stride ${stride}${last ? ": the whole net" : i ? "" : " alone"}`),
      `An answer every ${stride} pixels${i ? ", added to the coarser" : ""}; between them it is interpolated.`);
    const labels = shown.labels[blob];
    if (labels.every((number) => number === labels[0])) caption.append(` Here it says “${facts.classes[labels[0]]}” everywhere.`);
    figure.append(canvas, caption);
    return figure;
  }));
}

function tellUnder(event) {
  const box = $("picture").getBoundingClientRect();
  // the picture may be narrower than its box, in which it then stands in the middle
  const scale = Math.min(box.width / shown.width, box.height / shown.height);
  const x = Math.floor((event.clientX - box.left - (box.width - scale * shown.width) / 2) / scale);
  const y = Math.floor((event.clientY - box.top - (box.height - scale * shown.height) / 2) / scale);
  if (x < 0 || y < 0 || x >= shown.width || y >= shown.height) return;
  const number = shown.labels[facts.output][y * shown.width + x];
  $("under").replaceChildren(element("b", facts.classes[number]), ` at pixel ${x}, ${y}.`);
}

// what people do

function listen() {
  const drop = $("drop");
  $("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) open(target.files[0]);
    target.value = "";                  // the same photograph may be chosen again
  });
  $("side").addEventListener("change", () => { if (shown) open(shown.file); });
  for (const type of ["dragover", "drop", "dragleave"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();           // the browser would show the file in place of the page
      drop.classList.toggle("over", type === "dragover");
      const file = type === "drop" && event.dataTransfer.files[0];
      if (file && !$("file").disabled) open(file);
    });
  }
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll("[data-view]")) other.ariaPressed = String(other === button);
      paint();
    });
  }
  $("opacity").addEventListener("input", () => paint());
  $("picture").addEventListener("pointermove", tellUnder);
  $("picture").addEventListener("pointerdown", tellUnder);
}

tellFacts();
listen();
startWorker();
say(`Loading the net (${facts.megabytes} MB) …`, "busy");
try {
  await ask("load", facts);
  $("file").disabled = false;
  say("Ready.");
} catch (error) {
  say(`The net could not be loaded: ${error.message}`, "bad");
}
