// The forward process on a picture at any time, what the run predicts there, and its error.

import { data, number, showCommand, t, task } from "./common.js";
import { chart, roundUp } from "./curves.js";
import { chooser } from "./picture.js";
import { pixels, shape } from "./sheet.js";
import { latest, loaded, newSeed } from "./work.js";

const run = data.run;
const by = (id) => document.getElementById(id);
const LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9, 0.2, 0.4, 0.6, 0.8];
const VIEWS = ["clean", "noise", "noisy", "predicted", "predicted-noise", "difference"];
const state = { picture: null, seed: 0, found: new Map(), series: 0, timer: null };
let curve;

/** Makes the part of the page ready; `onTime` hears of each time that is chosen. */
export function prepareForward(onTime) {
  const slider = by("time");
  for (const name of ["forward", "predicts"]) shape(by(name));
  for (const name of VIEWS) by(name).className = pixels(run);
  curve = chart(by("error-chart"), t("time t"));
  const ask = latest(look);
  const moved = () => {
    const time = Number(slider.value);
    by("time-told").textContent = time.toFixed(2);
    onTime(time);
    drawCurve();
    if (!state.picture) return;
    stale(true);
    ask(time);
  };
  const restart = () => {
    state.series += 1;
    state.found.clear();
    moved();
  };
  slider.addEventListener("input", moved);
  by("other-noise").addEventListener("click", () => { state.seed = newSeed(); restart(); });
  chooser(by("chooser"), ({ picture }) => { state.picture = picture; restart(); });
  moved();
}

/** Shows a time: at once where it was looked at before, else as soon as it is worked out. */
async function look(time) {
  clearTimeout(state.timer);
  const done = await at(time);
  if (done && Number(by("time").value) === time) await show(done);
  state.timer = setTimeout(fillCurve, 500);
}

/** Pales the pictures while those of the chosen time are worked out. */
function stale(is) {
  for (const name of ["forward", "predicts"]) by(name).classList.toggle("stale", is);
}

async function at(time) {
  const { series, found } = state;
  if (!found.has(time)) {
    const done = await task("forward", { run: run.id, picture: state.picture, time, seed: state.seed });
    if (series !== state.series) return null;
    found.set(time, done);
    drawCurve();
  }
  return found.get(time);
}

/** Looks at the levels that the curve still lacks, one by one, while nothing else is asked. */
async function fillCurve() {
  const series = state.series;
  const time = LEVELS.find((one) => !state.found.has(one));
  if (time === undefined || document.hidden) return;
  try {
    await at(time);
  } catch {
    return; // the curve is drawn with what there is
  }
  if (series === state.series) {
    clearTimeout(state.timer);
    state.timer = setTimeout(fillCurve, 50);
  }
}

async function show(done) {
  const urls = Object.fromEntries(VIEWS.map((name) => [name, done.files[`${name.replace("-", "_")}.png`]]));
  await Promise.all(Object.values(urls).map((url) => loaded(url)));
  for (const name of VIEWS) {
    by(name).src = urls[name];
    by(name).hidden = false;
  }
  stale(false);
  showCommand(done.command);
  const { noise_rate: noise, signal_rate: signal, error, noise_error: noiseError } = done.result;
  by("forward-now").textContent = t("Noise rate {noise}, signal rate {signal}: of the noisy picture's power, {share} % is picture.", {
    noise: number(noise, 3), signal: number(signal, 3), share: Math.round(100 * signal * signal),
  });
  by("predicted-now").textContent = why(signal * signal);
  by("error-now").textContent = t("Here the guess is off by {error} per pixel, {percent} % of the way from black to white; the guessed noise by {noise} of the noise's own strength.", {
    error: number(error, 2), percent: number(100 * error, 2), noise: number(noiseError, 2),
  });
}

/** Why the guess looks as it does, by the share of the picture in the power of the mixture. */
function why(share) {
  if (share > 0.9) return t("Here little is covered, so the guess is nearly exact; what it misses is fine grain that looks like noise itself.");
  if (share > 0.5) return t("Here the shape is plain and only details have to be guessed; where those are uncertain, the guess is soft.");
  if (share > 0.1) return t("Here several pictures would fit; the guess is their average, and sharp only where they agree.");
  return t("Here almost any picture would fit; the guess is close to the average of all pictures.");
}

function drawCurve() {
  const found = [...state.found.entries()].sort(([a], [b]) => a - b);
  const errors = found.map(([time, done]) => [time, done.result.error]);
  const noises = found.map(([time, done]) => [time, done.result.noise_error]);
  const most = roundUp(Math.max(0.1, ...errors.map(([, value]) => value), ...noises.map(([, value]) => value)));
  curve.show({
    curves: [
      { points: errors, name: "curve", dots: true },
      { points: noises, name: "curve second", dots: true },
    ],
    range: [0, most],
    here: Number(by("time").value),
    words: t("Error of the predicted picture over time: {values}", {
      values: errors.map(([time, value]) => `${time}: ${number(value, 2)}`).join(", ") || "–",
    }),
  });
}
