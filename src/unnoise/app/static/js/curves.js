// Curves as SVG, drawn in true pixels so that their words are legible on a phone too.

import { t } from "./common.js";

const SPACE = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM, HEIGHT] = [46, 10, 10, 38, 250];

function svg(tag, attributes = {}, text = null) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

/**
 * A chart in a place of its own, over diffusion time 0..1 or another domain. `show` takes {curves:
 * [{points: [[t, y]], name, dots}], range: [low, high], domain: [first, last], here: t, words: what it shows, for
 * those who cannot see it}.
 */
export function chart(place, xTitle) {
  const image = svg("svg", { class: "chart", role: "img", "aria-label": t("The curves are not there yet") });
  place.classList.add("plot");
  place.replaceChildren(image);
  let shown = null;
  const draw = () => {
    if (!shown || place.clientWidth < 1) return;
    image.setAttribute("viewBox", `0 0 ${place.clientWidth} ${HEIGHT}`);
    image.setAttribute("aria-label", shown.words);
    image.replaceChildren(...parts(shown, place.clientWidth, xTitle));
  };
  new ResizeObserver(draw).observe(place);
  return { show(given) { shown = { ...shown, ...given }; draw(); } };
}

function parts(shown, width, xTitle) {
  const [low, high] = shown.range;
  const [first, last] = shown.domain ?? [0, 1];
  const x = (time) => LEFT + ((time - first) / (last - first)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const found = [...grid(shown, x, y), svg("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 2, "text-anchor": "middle" }, xTitle)];
  if (shown.here !== undefined) {
    found.push(svg("line", { class: "here", x1: x(shown.here), x2: x(shown.here), y1: TOP, y2: HEIGHT - BOTTOM }));
  }
  for (const { points, name, dots } of shown.curves) {
    const inside = points.map(([time, value]) => [x(time).toFixed(1), y(Math.max(low, Math.min(high, value))).toFixed(1)]);
    if (inside.length > 1) found.push(svg("polyline", { class: name, points: inside.map((one) => one.join(",")).join(" ") }));
    if (dots) found.push(...inside.map(([cx, cy]) => svg("circle", { class: `point ${name}`, cx, cy, r: 3.5 })));
  }
  return found;
}

function grid({ range: [low, high], domain }, x, y) {
  const found = [];
  const [first, last] = domain ?? [0, 1];
  const times = domain ? ticks(first, last) : [0, 0.25, 0.5, 0.75, 1];
  for (const value of ticks(low, high)) {
    found.push(svg("line", { class: "axis", x1: x(first), x2: x(last), y1: y(value), y2: y(value) }));
    found.push(svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  for (const time of times) {
    found.push(svg("text", { x: x(time), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, String(time)));
  }
  return found;
}

/** Four to six round numbers from low to high. */
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(6)));
}

/** The end of an axis that holds all values, as a round number. */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-6)));
  return [1, 2, 5, 10].map((k) => k * power).find((one) => one >= value - 1e-12);
}
