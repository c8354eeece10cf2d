// Morph: pictures that turn into one another, on a slider.

import { busy, data, el, showCommand, t, task } from "./common.js";
import { picturesOf, pixels, shape } from "./sheet.js";
import { downloads, newSeed, player, preload, progressBar, valueOf } from "./work.js";

const run = data.run;
const by = (id) => document.getElementById(id);
const MOST = 12;
const state = { drawn: null, chosen: [], asked: null, end: null, files: [] };
const addsNoise = (sampler) => /sde|ancestral|consistency/.test(sampler);
const guided = Number(run.settings.autoguidance ?? 1) !== 1 && run.settings["guided_sampling.sampler"];
const own = guided || (run.settings["sampling.sampler"] ?? "ddim");
/** Morphs are drawn without fresh noise on the way and of one class, so the pictures to choose from are, too. */
const smooth = { sampler: addsNoise(own) ? "ddim" : undefined, label: run.classes?.[0] };
let bar;
let play;

/** Whether a morph passes through pictures that were drawn by these words. */
function fits(words) {
  const same = !addsNoise(words.sampler || own) && !words.guidance && !words.best;
  return same && (Boolean(words.label) || !run.classes?.length);
}

/** Makes the part of the page ready, with what was drawn last to choose from. */
export function prepareMorph() {
  bar = progressBar(() => state.asked?.cancel());
  by("morph-progress").replaceWith(bar.element);
  play = player(t("Place between the pictures"), showFrame, { loops: true });
  play.enable(false);
  by("morph-player").replaceWith(play.element);
  by("morph-frame").className = pixels(run);
  shape(by("morph"));
  by("morph-draw").addEventListener("click", () => busy(by("morph-draw"), drawOthers));
  by("morph-go").addEventListener("click", () => busy(by("morph-go"), morph));
  if (data.drawn?.result.names.length > 1 && fits(data.drawn.words)) show(data.drawn);
  else by("morph-none").hidden = false;
}

async function drawOthers() {
  bar.show();
  by("morph-downloads").hidden = true;
  state.asked = task("draw", { run: run.id, number: 12, seed: newSeed(), ...smooth }, bar.show);
  try {
    show(await state.asked);
  } finally {
    bar.hide();
    by("morph-downloads").hidden = false;
  }
}

function show(done) {
  state.drawn = done;
  const pictures = picturesOf(done).slice(0, 24);
  state.chosen = pictures.slice(0, 3);
  by("morph-none").hidden = true;
  by("morph-sheet").replaceChildren(...pictures.map(tile));
  mark();
}

function tile(picture) {
  const image = el("img", { src: picture.url, alt: t("Picture of seed {seed}", { seed: picture.seed }), class: pixels(run) });
  const press = () => {
    const place = state.chosen.indexOf(picture);
    if (place >= 0) state.chosen.splice(place, 1);
    else if (state.chosen.length < MOST) state.chosen.push(picture);
    mark();
  };
  const button = el("button", { type: "button", class: "tile", onclick: press }, image);
  const item = el("li", {}, button, el("span", { class: "badge", hidden: true }));
  item.picture = picture;
  return item;
}

/** Shows which pictures are chosen, and in which order. */
function mark() {
  for (const item of by("morph-sheet").children) {
    const place = state.chosen.indexOf(item.picture);
    item.firstChild.setAttribute("aria-pressed", String(place >= 0));
    item.lastChild.hidden = place < 0;
    item.lastChild.textContent = place + 1;
  }
  by("morph-go").disabled = state.chosen.length < 2;
  const seeds = state.chosen.map((one) => one.seed).join(" → ");
  by("morph-chosen").textContent = state.chosen.length < 2
    ? t("Press two or more pictures, in the order in which they are to follow.")
    : t("Seeds {seeds}, and back to the first", { seeds });
}

async function morph() {
  const { label, steps } = state.drawn.words;
  const seeds = state.chosen.map((one) => one.seed);
  bar.show();
  by("morph-downloads").replaceChildren();
  const words = { run: run.id, seeds, frames: valueOf(by("morph-frames")), label: label ?? null, steps: steps ?? null };
  state.asked = task("morph", words, bar.show);
  try {
    start(await state.asked);
  } finally {
    bar.hide();
  }
}

function start(done) {
  state.end?.();
  state.files = Array.from({ length: done.result.frames }, (_, k) => done.files[`frame-${String(k).padStart(3, "0")}.png`]);
  showCommand(done.command);
  by("morph-downloads").replaceChildren(downloads(done, ["gif", "mp4", "png", "npz"]));
  by("morph-frame").hidden = false;
  by("morph-hint").hidden = true;
  play.enable(true);
  play.reset(state.files.length, 0);
  play.slider.focus();
  state.end = preload(state.files);
}

function showFrame(frame) {
  if (!state.files[frame]) return;
  const percent = Math.round((100 * frame) / state.files.length);
  by("morph-frame").src = state.files[frame];
  by("morph-frame").alt = t("{percent} % of the way round", { percent });
}
