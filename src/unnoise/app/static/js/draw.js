// Draw: asks for pictures by seeds, shows their sheet, and keeps favourites.

import { api, busy, data, duration, finished, showCommand, t, task } from "./common.js";
import { open, prepare } from "./reverse.js";
import { favourites, fill, fillWaiting, onKept, picturesOf } from "./sheet.js";
import { downloads, newSeed, progressBar, valueOf } from "./work.js";

const run = data.run;
const by = (id) => document.getElementById(id);

if (run.has_weights) {
  const form = by("form");
  let asked = null;
  const bar = progressBar(() => asked?.cancel());
  by("progress").replaceWith(bar.element);
  prepare();
  by("roll").addEventListener("click", () => {
    form.elements.seed.value = newSeed();
    form.requestSubmit();
  });
  const wait = (promise, number) => busy(by("draw"), async () => {
    asked = promise;
    by("roll").disabled = true;
    try {
      await draw(asked, number, bar);
    } finally {
      by("roll").disabled = false;
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = words(form.elements);
    wait(task("draw", given, bar.show), given.number);
  });
  onKept(showKept);
  showKept();
  showRecent();
  unfinished().then((found) => found && wait(followed(found.id, bar.show), found.words.number ?? 16));
}

/** What the form asks for; empty fields are left to the run. */
function words(fields) {
  const best = fields.best && fields.best.value === "1" ? true : null;
  return {
    run: run.id,
    number: valueOf(fields.number),
    seed: valueOf(fields.seed),
    steps: valueOf(fields.steps),
    sampler: fields.sampler.value || null,
    label: fields.label?.value || null,
    guidance: valueOf(fields.guidance),
    best,
  };
}

/** What this page, or another one, asked for before it was loaded again. */
async function unfinished() {
  const found = await api("GET", `/api/tasks?run=${run.id}&kind=draw`).catch(() => ({ tasks: [] }));
  return found.tasks.find((one) => one.state === "waiting" || one.state === "working");
}

function followed(id, onProgress) {
  const promise = finished(id, onProgress);
  promise.cancel = () => { api("DELETE", `/api/tasks/${id}`).catch(() => {}); };
  return promise;
}

async function draw(asked, number, bar) {
  const began = performance.now();
  const before = [...by("sheet").children];
  const files = [...by("downloads").children];
  bar.show();
  by("none").hidden = true;
  by("downloads").replaceChildren();
  fillWaiting(by("sheet"), number);
  try {
    const done = await asked;
    show(done, (performance.now() - began) / 1000);
  } catch (error) {
    by("sheet").replaceChildren(...before);
    by("downloads").replaceChildren(...files);
    by("none").hidden = before.length > 0;
    throw error;
  } finally {
    bar.hide();
  }
}

function show(done, seconds = null) {
  const pictures = picturesOf(done);
  const last = pictures.length - 1;
  const seeds = { first: pictures[0].seed, last: pictures[last].seed };
  const parts = [last > 0 ? t("Seeds {first} to {last}", seeds) : t("Seed {first}", seeds)];
  if (done.words.steps) parts.push(t("{n} steps", { n: done.words.steps }));
  if (done.words.label) parts.push(done.words.label);
  if (seconds !== null) parts.push(t("drawn in {time}", { time: duration(seconds) }));
  by("about").textContent = parts.join(" · ");
  fill(by("sheet"), pictures, (place) => open(pictures, place));
  by("downloads").replaceChildren(downloads(done, ["png", "gif", "mp4", "npz"]));
  showCommand(done.command);
}

/** The newest sheet of this run, drawn here or in another tab. */
function showRecent() {
  const done = data.drawn;
  by("none").hidden = Boolean(done);
  if (!done) return;
  const fields = by("form").elements;
  fields.seed.value = done.result.seeds[0];
  fields.number.value = done.result.names.length;
  show(done);
}

function showKept() {
  const pictures = favourites();
  by("none-kept").hidden = pictures.length > 0;
  fill(by("kept"), pictures, (place) => open(pictures, place));
}
