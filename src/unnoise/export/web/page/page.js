"use strict";
// The controls of the page.

const facts = JSON.parse(document.getElementById("run").textContent);
const element = (id) => document.getElementById(id);
const kept = ["seed", "count", "class", "steps", "sampler", "shown"]; // in the address, so that a link shows the same
let network = null;
let drawing = 0; // the number of the newest drawing: older ones stop
let walk = []; // by step, the states of all pictures

function fillControls() {
  const option = (select, value, text) => element(select).add(new Option(text, value));
  for (const steps of Object.keys(facts.rates)) option("steps", steps, steps);
  facts.samplers.forEach(({ title }, place) => option("sampler", place, title));
  element("steps").value = facts.sampling.num_steps;
  element("classes").hidden = !facts.num_classes || Boolean(facts.clusters);
  option("class", "turn", "each in turn");
  facts.classes.forEach((name, place) => option("class", place, name));
  option("class", "none", "none");
  for (const [name, value] of facts.told) {
    const pair = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) {
      pair.append(Object.assign(document.createElement(tag), { textContent: text }));
    }
    element("facts").append(pair);
  }
}

function say(text) {
  element("status").textContent = text;
}

function choices() {
  return {
    steps: element("steps").value,
    sampler: facts.samplers[element("sampler").value],
    classChoice: element("class").value,
  };
}

function seedsOf(first, count) {
  return Array.from({ length: count }, (_, place) => (BigInt(first) + BigInt(place)).toString());
}

function readAddress() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!kept.includes(name)) continue;
    const before = element(name).value;
    element(name).value = value;
    if (!element(name).value || !element(name).checkValidity()) element(name).value = before;
  }
}

function writeAddress() {
  const values = new URLSearchParams(kept.map((name) => [name, element(name).value]));
  history.replaceState(null, "", `#${values}`);
}

function show(step) {
  const states = walk[step - 1];
  if (!states) return;
  element("at").textContent = `${step} of ${element("step").max}`;
  drawSheet(element("sheet"), states.map((state) => state && state[element("shown").value]), facts);
}

async function draw() {
  if (!network || !element("controls").reportValidity()) return;
  const mine = ++drawing, chosen = choices(), start = performance.now();
  writeAddress();
  walk = [];
  element("step").max = chosen.steps;
  const seeds = seedsOf(element("seed").value, Number(element("count").value));
  const processes = seeds.map((seed) => processOfSeed(network, facts, seed, chosen));
  await advance(processes, (step, states) => {
    if (mine !== drawing) return false;
    const before = walk[step - 2] ?? seeds.map(() => null);
    walk[step - 1] = before.map((state, place) => states[place] ?? state);
    element("step").value = step;
    show(step);
    say(`Drawing: step ${step} of ${chosen.steps}.`);
    return true;
  });
  if (mine !== drawing) return;
  const seconds = (performance.now() - start) / 1000;
  const what = seeds.length > 1 ? `${seeds.length} pictures` : "One picture";
  say(`${what} in ${seconds.toFixed(1)} s, on the ${network.device === "webgpu" ? "GPU (WebGPU)" : "CPU (WebAssembly)"}.`);
  element("save").disabled = false;
  document.body.dataset.drawn = mine;
}

let morphing = 0;
async function morph() {
  const ends = [element("from"), element("to")];
  if (!network || !ends.every((end) => end.value && end.reportValidity())) return;
  const mine = ++morphing, fraction = Number(element("fraction").value);
  const process = processBetween(network, facts, ends.map((end) => end.value), fraction, choices());
  let newest = null;
  await advance([process], (_step, [state]) => {
    newest = state.images;
    return mine === morphing;
  });
  if (mine !== morphing) return;
  drawSheet(element("between"), [newest], facts);
  document.body.dataset.morphed = mine;
}

function listen() {
  element("controls").addEventListener("submit", (event) => (event.preventDefault(), draw()));
  element("another").addEventListener("click", () => {
    element("seed").value = Math.floor(Math.random() * 2 ** 31);
    draw();
  });
  for (const name of ["seed", "count"]) element(name).addEventListener("change", draw);
  for (const name of ["class", "steps", "sampler"]) {
    element(name).addEventListener("change", () => draw().then(morph));
  }
  element("shown").addEventListener("change", () => (writeAddress(), show(Number(element("step").value))));
  element("step").addEventListener("input", () => show(Number(element("step").value)));
  element("save").addEventListener("click", () => savePng(element("sheet"), `seed-${element("seed").value}.png`));
  for (const name of ["from", "to", "fraction"]) element(name).addEventListener("input", morph);
  addEventListener("hashchange", () => (readAddress(), draw()));
}

async function begin() {
  document.documentElement.classList.toggle("embedded", window.self !== window.top);
  fillControls();
  readAddress();
  listen();
  drawSheet(element("sheet"), Array(Number(element("count").value)).fill(null), facts);
  try {
    network = await loadNetwork(facts);
  } catch (error) {
    const local = location.protocol === "file:" && !element("file:model.onnx");
    say(local
      ? "A browser opens this folder only from a server: run python -m http.server in it, or export it with --single-file."
      : `The network cannot be loaded. ${error.message ?? error}`);
    return;
  }
  for (const name of ["draw", "fraction"]) element(name).disabled = false;
  await draw();
  await morph();
}

begin();
