// The dialog of one picture: its reverse process, step by step from noise.

import { data, number, showCommand, t, task } from "./common.js";
import { keep, mark, onKept, pixels, shape, wordsOf } from "./sheet.js";
import { downloads, player, preload, progressBar } from "./work.js";

const run = data.run;
const by = (id) => document.getElementById(id);
const known = new Map(); // reverse processes that were shown already, by picture
const state = { pictures: [], place: 0, reverse: null, asked: null, end: null };
let dialog;
let play;
let bar;

/** Makes the dialog ready; it is opened by `open`. */
export function prepare() {
  dialog = by("reverse");
  shape(dialog);
  play = player(t("Step from noise to picture"), showStep, { seconds: 5 });
  bar = progressBar();
  by("player").replaceWith(play.element);
  by("reverse-progress").replaceWith(bar.element);
  by("close").addEventListener("click", () => dialog.close());
  by("previous").addEventListener("click", () => turn(-1));
  by("next").addEventListener("click", () => turn(1));
  by("reverse-heart").addEventListener("click", () => keep(current()));
  onKept(() => { if (dialog.open) mark(by("reverse-heart"), current()); });
  dialog.addEventListener("close", leave);
  dialog.addEventListener("keydown", onKey);
  for (const name of ["noisy", "image", "noise"]) by(name).className = pixels(run);
}

/** Opens a picture of a sheet. */
export function open(pictures, place) {
  Object.assign(state, { pictures, place });
  if (!dialog.open) dialog.showModal();
  show();
}

const current = () => state.pictures[state.place];

function turn(step) {
  const place = state.place + step;
  if (place < 0 || place >= state.pictures.length) return;
  leave();
  state.place = place;
  show();
}

function leave() {
  play.stop();
  state.end?.();
  state.asked?.cancel();
  bar.hide();
  Object.assign(state, { reverse: null, asked: null, end: null });
}

function show() {
  const picture = current();
  const { task: id, name } = picture;
  const words = new URLSearchParams({ task: id, name });
  by("reverse-title").textContent = t("Seed {seed}", { seed: picture.seed });
  by("to-play").href = `/run/${run.id}/play?${words}#own`;
  by("to-understand").href = `/run/${run.id}/understand?${words}`;
  by("previous").disabled = state.place === 0;
  by("next").disabled = state.place === state.pictures.length - 1;
  by("rates").textContent = t("The way from noise to this picture is being drawn again …");
  by("reverse-downloads").replaceChildren();
  mark(by("reverse-heart"), picture);
  put("image", picture.url, t("The finished picture"));
  for (const other of ["noisy", "noise"]) by(other).hidden = true;
  play.enable(false);
  fetchReverse(picture);
}

async function fetchReverse(picture) {
  const key = `${picture.task}/${picture.name}`;
  let done = known.get(key);
  if (!done) {
    bar.show();
    const asked = ask(picture, (found) => { if (state.asked === asked) bar.show(found); });
    state.asked = asked;
    try {
      done = await asked.done;
    } catch (error) {
      if (state.asked !== asked) return;
      by("rates").textContent = error.message;
      bar.hide();
      return;
    }
    known.set(key, done);
    if (state.asked !== asked) return;
  }
  if (current() === picture && dialog.open) start(done);
}

/** Asks for the reverse process of a picture; it can be cancelled at any moment. */
function ask(picture, onProgress) {
  let asked = null;
  let cancelled = false;
  const work = async () => {
    const words = await wordsOf(picture);
    if (cancelled) throw new Error("");
    asked = task("reverse", { run: run.id, seed: picture.seed, ...words }, onProgress);
    return asked;
  };
  return { done: work(), cancel() { cancelled = true; asked?.cancel(); } };
}

function start(done) {
  bar.hide();
  state.asked = null;
  state.reverse = done;
  const last = done.result.steps - 1;
  by("reverse-downloads").replaceChildren(downloads(done, ["png", "gif", "mp4", "npz"]));
  showCommand(done.command);
  play.enable(true);
  play.reset(last + 1, last);
  play.slider.focus();
  const order = Array.from({ length: last + 1 }, (_, k) => last - k);
  state.end = preload(order.flatMap((k) => ["noisy", "image", "noise"].map((name) => file(name, k))));
}

const file = (name, step) => state.reverse.files[`${name}-${String(step).padStart(3, "0")}.png`];

function showStep(step) {
  const found = state.reverse?.result;
  if (!found) return;
  const words = { step: step + 1, steps: found.steps };
  put("noisy", file("noisy", step), t("Noisy picture at step {step} of {steps}", words));
  put("image", file("image", step), t("Predicted picture at step {step} of {steps}", words));
  put("noise", file("noise", step), t("Predicted noise at step {step} of {steps}", words));
  const rates = { noise: number(found.noise_rates[step], 3), signal: number(found.signal_rates[step], 3) };
  const numbers = t("noise rate {noise}, signal rate {signal}", rates);
  by("rates").textContent = `${t("Step {step} of {steps}", words)} · ${numbers}. ${stage(found.noise_rates[step])}`;
  play.slider.setAttribute("aria-valuetext", by("rates").textContent);
}

/** What happens at a noise rate, in words. */
function stage(noise) {
  if (noise > 0.985) return t("Nearly pure noise: nothing can be seen yet, so the guess is close to the average of all pictures.");
  if (noise > 0.9) return t("Mostly noise: the rough shape is being decided.");
  if (noise > 0.65) return t("About as much noise as picture: the parts find their places.");
  if (noise > 0.25) return t("A picture under a layer of noise: details are being drawn.");
  if (noise > 0.05) return t("Almost clean: only fine grain is still taken away.");
  return t("Clean: what is left of the noise can hardly be seen.");
}

function put(id, url, alt) {
  const image = by(id);
  image.hidden = false;
  image.alt = alt;
  if (url) image.src = url;
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const slides = event.target === play.slider;
  const actions = {
    PageUp: () => turn(-1),
    PageDown: () => turn(1),
    p: () => state.reverse && play.play(),
    ArrowLeft: () => !slides && state.reverse && play.move(-1),
    ArrowRight: () => !slides && state.reverse && play.move(1),
  };
  const action = actions[event.key];
  if (!action || (slides && event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  action();
}
