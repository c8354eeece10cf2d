// Schedules as curves that move with their parameters.

import { data, el, number, showCommand, t, task } from "./common.js";
import { chart } from "./curves.js";
import { latest, valueOf } from "./work.js";

const run = data.run;
const by = (id) => document.getElementById(id);
const known = new Map();
const state = { own: null, shown: null, here: 0.5 };
let rates;
let levels;

/** Makes the part of the page ready; returns what marks a time. */
export function prepareSchedules() {
  rates = chart(by("rates-chart"), t("time t"));
  levels = chart(by("snr-chart"), t("time t"));
  const follow = latest(look);
  const changed = () => {
    const free = by("schedule").value === "offset_cosine";
    by("rates-fields").disabled = !free;
    for (const name of ["min", "max"]) by(`${name}-told`).textContent = Number(by(`${name}-rate`).value).toFixed(4);
    follow(words());
  };
  by("schedule").addEventListener("change", changed);
  for (const name of ["min", "max"]) by(`${name}-rate`).addEventListener("input", changed);
  start();
  changed();
  return (time) => { state.here = time; draw(); };
}

/** The sliders begin at the run's own rates, where it has some. */
function start() {
  for (const name of ["min", "max"]) {
    const own = Number(run.settings[`schedule.${name}_signal_rate`]);
    if (own > 0) by(`${name}-rate`).value = own;
  }
}

function words() {
  const schedule = by("schedule").value;
  if (!schedule) return { run: run.id };
  if (schedule !== "offset_cosine") return { schedule };
  return { schedule, min_signal_rate: valueOf(by("min-rate")), max_signal_rate: valueOf(by("max-rate")) };
}

async function look(given) {
  const key = JSON.stringify(given);
  if (!known.has(key)) known.set(key, await task("schedules", given));
  const done = known.get(key);
  if (given.run) state.own = done.result;
  state.shown = done.result;
  showCommand(done.command);
  draw();
}

function draw() {
  const { shown, own, here } = state;
  if (!shown) return;
  const points = (curve, name) => curve.times.map((time, place) => [time, curve[name][place]]);
  const ghost = (name) => ({ points: points(own, name), name: "ghost" });
  const ghosts = (...names) => (own && own !== shown ? names.map(ghost) : []);
  const place = Math.round(here * (shown.times.length - 1));
  const now = {
    time: here.toFixed(2), noise: number(shown.noise_rates[place], 3),
    signal: number(shown.signal_rates[place], 3), level: number(shown.log_snr[place], 3),
  };
  const sentence = t("At time {time}: signal rate {signal}, noise rate {noise}, log-SNR {level}.", now);
  rates.show({
    curves: [
      ...ghosts("signal_rates", "noise_rates"),
      { points: points(shown, "signal_rates"), name: "curve" },
      { points: points(shown, "noise_rates"), name: "curve second" },
    ],
    range: [0, 1], here, words: sentence,
  });
  levels.show({
    curves: [...ghosts("log_snr"), { points: points(shown, "log_snr"), name: "curve third" }],
    range: [-16, 20], here, words: sentence,
  });
  by("schedule-now").textContent = sentence;
}

/** The schedules that can be drawn beside the run's own. */
export function fillSchedules() {
  const names = {
    "": t("the run's own ({name})", { name: run.settings["schedule.kind"] ?? "–" }),
    offset_cosine: t("offset cosine"),
    cosine: t("cosine"),
    linear: t("linear betas, continuous"),
    ddpm_linear: t("linear betas, the 1,000 steps of DDPM"),
  };
  by("schedule").replaceChildren(...Object.entries(names).map(([value, text]) => el("option", { value }, text)));
}
