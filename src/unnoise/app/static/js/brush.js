// The brush: a mask painted over a picture by mouse, finger or pen, or by a rectangle of numbers.

import { data, el, t } from "./common.js";
import { pixels } from "./sheet.js";
import { valueOf } from "./work.js";

const run = data.run;
const MOST_UNDONE = 40;

/** A canvas over the chosen picture, with its controls; `mask()` is a PNG in which white is to be filled. */
export function brush() {
  const picture = el("img", { alt: "", class: pixels(run) });
  const words = t("Paint what is to be drawn anew. Without a mouse, use the rectangle beside it.");
  const size = { width: run.width, height: run.height };
  const canvas = el("canvas", { class: `mask ${pixels(run)}`, ...size, role: "img", "aria-label": words });
  const frame = el("div", { class: "view brush" }, picture, canvas);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const state = { undone: [], last: null, size: startSize() };
  const paper = { canvas, context, state };
  listen(paper);
  return {
    frame,
    controls: controls(paper),
    show(url) { picture.src = url; clear(paper); state.undone = []; },
    empty: () => !painted(paper).some((value) => value > 0),
    mask: () => maskOf(paper),
  };
}

const startSize = () => Math.max(1, Math.round(Math.max(run.width, run.height) / 5));

const painted = ({ context, canvas }) => context.getImageData(0, 0, canvas.width, canvas.height).data;

function listen(paper) {
  const { canvas, state } = paper;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    remember(paper);
    state.last = where(event, canvas);
    stroke(paper, state.last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!state.last) return;
    const to = where(event, canvas);
    stroke(paper, to);
    state.last = to;
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { state.last = null; });
}

/** The point of the picture under a pointer; the canvas fills its frame, which has the picture's shape. */
function where(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * canvas.width,
    y: ((event.clientY - box.top) / box.height) * canvas.height,
  };
}

function stroke(paper, to) {
  const { state } = paper;
  const from = state.last;
  const far = Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y));
  const steps = Math.max(1, Math.ceil(far * 2));
  for (let k = 1; k <= steps; k++) {
    dab(paper, from.x + ((to.x - from.x) * k) / steps, from.y + ((to.y - from.y) * k) / steps);
  }
}

/** A disc of whole pixels, since a mask has no half ones. */
function dab({ context, state }, x, y) {
  const radius = state.size / 2;
  context.fillStyle = colour();
  for (let row = Math.floor(y - radius); row <= y + radius; row++) {
    for (let column = Math.floor(x - radius); column <= x + radius; column++) {
      const under = column === Math.floor(x) && row === Math.floor(y);
      if (under || Math.hypot(column + 0.5 - x, row + 0.5 - y) <= radius) context.fillRect(column, row, 1, 1);
    }
  }
}

const colour = () => getComputedStyle(document.documentElement).getPropertyValue("--second").trim() || "#b5530a";

function remember({ context, canvas, state }) {
  state.undone.push(context.getImageData(0, 0, canvas.width, canvas.height));
  if (state.undone.length > MOST_UNDONE) state.undone.shift();
}

function clear({ context, canvas }) {
  context.clearRect(0, 0, canvas.width, canvas.height);
}

function maskOf(paper) {
  const { canvas } = paper;
  const made = el("canvas", { width: canvas.width, height: canvas.height });
  const context = made.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  painted(paper).forEach((value, place) => {
    if (place % 4 === 3) image.data.fill(value > 0 ? 255 : 0, place - 3, place).fill(255, place, place + 1);
  });
  context.putImageData(image, 0, 0);
  return made.toDataURL("image/png");
}

function controls(paper) {
  const { state } = paper;
  const most = Math.max(2, Math.round(Math.max(run.width, run.height) / 2));
  const size = el("input", { type: "range", min: 1, max: most, step: 1, value: state.size });
  const told = el("output", {}, String(state.size));
  size.addEventListener("input", () => { state.size = Number(size.value); told.textContent = size.value; });
  const label = el("label", {}, el("span", { class: "readout" }, t("Size of the brush, in pixels"), told), size);
  const undo = () => { if (state.undone.length) paper.context.putImageData(state.undone.pop(), 0, 0); };
  const wipe = () => { remember(paper); clear(paper); };
  const buttons = el("div", { class: "row" },
    el("button", { type: "button", onclick: undo }, t("Undo")),
    el("button", { type: "button", onclick: wipe }, t("Clear")));
  return el("div", { class: "controls" }, label, buttons, rectangle(paper));
}

/** The same without a pointer: a rectangle by its numbers. */
function rectangle(paper) {
  const third = [Math.floor(run.width / 3), Math.floor(run.height / 3)];
  const field = (name, value, most) => {
    const input = el("input", { type: "number", min: 0, max: most, step: 1, value });
    return { input, label: el("label", { class: "small" }, name, input) };
  };
  const fields = [
    field(t("Left"), third[0], run.width - 1), field(t("Top"), third[1], run.height - 1),
    field(t("Width"), Math.max(1, third[0]), run.width), field(t("Height"), Math.max(1, third[1]), run.height),
  ];
  const add = () => {
    const numbers = fields.map(({ input }) => valueOf(input) ?? 0);
    remember(paper);
    paper.context.fillStyle = colour();
    paper.context.fillRect(...numbers);
  };
  return el("details", {}, el("summary", {}, t("A rectangle by numbers")),
    el("div", { class: "fields two" }, fields.map(({ label }) => label)),
    el("p", {}, el("button", { type: "button", onclick: add }, t("Add the rectangle"))));
}
