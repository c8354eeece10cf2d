// Uploads in pieces, three files at a time, with one bar; what is interrupted goes on where it stopped.

import { api, duration, el, number, pause, t } from "./common.js";
import { forget, keyOf, remember, remembered } from "./upload_memory.js";

const [AT_ONCE, ATTEMPTS, SHOWN] = [3, 5, 5];
const KINDS = /\.(png|jpe?g|webp|bmp|gif|tiff?|heic|zip|npy|npz)$/i;
const ARRAYS = /\.(zip|npy|npz)$/i;

/** Uploads files into a set, and returns {id, name} of it, or null where nothing of it has arrived. */
export async function upload(files, name, place) {
  const job = begun(files.filter((file) => KINDS.test(file.name)), name);
  const skipped = files.length - job.files.length;
  const bar = progress(job);
  place.replaceChildren(bar.element);
  const warn = (event) => event.preventDefault();
  addEventListener("beforeunload", warn);
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, () => work(job, bar.show)));
  } finally {
    removeEventListener("beforeunload", warn);
  }
  if (job.stopped) await cancelled(job);
  if (job.stopped || !job.failed) forget(name);
  place.replaceChildren(...told(job, skipped));
  const id = job.memory.folder ?? job.memory.file;
  return id ? { id, name } : null;
}

function begun(files, name) {
  const memory = remembered(name);
  return { files, name, memory, next: 0, ended: 0, sent: new Map(), refused: [], failed: false, stopped: false, since: performance.now() };
}

async function work(job, show) {
  while (job.next < job.files.length && !job.stopped) {
    const file = job.files[job.next++];
    show(file);
    try {
      if (!job.memory.done.includes(keyOf(file))) await one(job, file, () => show(file));
    } catch (error) {
      job.refused.push(error.message);
      job.failed ||= !(error.status >= 400 && error.status < 500);
    }
    job.sent.set(file, file.size);
    job.ended += 1;
    show(file);
  }
}

/** Uploads one file, or what is missing of it. */
async function one(job, file, show) {
  const key = keyOf(file);
  const upload = await opened(job, file);
  if (upload) {
    const told = (bytes) => { job.sent.set(file, bytes); show(); };
    try {
      await send(job, file, upload, told);
      if (job.stopped) return;
      job.memory.open[key].finishes = true;
      const done = await patiently(() => api("POST", `/api/uploads/${upload.id}/finish`, {})).catch(unlessFinished);
      if (done.set) job.memory[ARRAYS.test(file.name) ? "file" : "folder"] = done.set;
    } catch (error) {
      if (error.status) await api("DELETE", `/api/uploads/${upload.id}`).catch(() => {});
      if (error.status) delete job.memory.open[key];
      throw error;
    }
  }
  delete job.memory.open[key];
  job.memory.done.push(key);
  remember(job.name, job.memory);
}

/** Sends pieces from where the server stands. */
async function send(job, file, { id, piece, received }, told) {
  for (let here = received; here < file.size && !job.stopped;) {
    here = await patiently(async (attempt) => {
      const from = attempt > 1 ? (await api("GET", `/api/uploads/${id}`)).received : here; // a piece may have arrived
      if (from >= file.size) return from;
      return (await api("PUT", `/api/uploads/${id}?offset=${from}`, file.slice(from, from + piece))).received;
    });
    told(here);
  }
}

/** The upload of a file: the one that was interrupted, or a new one; null where it had been finished. */
async function opened(job, file) {
  const known = job.memory.open[keyOf(file)];
  if (known) {
    const found = await patiently(() => api("GET", `/api/uploads/${known.id}`)).catch((error) => error);
    if (found.id) return found;
    if (found.status === 404 && known.finishes) return null;
  }
  const made = await patiently(() => api("POST", "/api/uploads", { name: file.name, size: file.size, set: job.name }));
  job.memory.open[keyOf(file)] = { id: made.id, finishes: false };
  remember(job.name, job.memory);
  return made;
}

/** An upload that is gone was finished, and the answer was lost. */
function unlessFinished(error) {
  if (error.status === 404) return {};
  throw error;
}

/** Tries again after what may pass: a server that is gone for a while, and one that is busy. */
async function patiently(ask) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask(attempt);
    } catch (error) {
      const gone = error.status === undefined;
      const passes = gone || error.status === 409 || error.status === 429 || error.status >= 500;
      if (!passes || attempt >= (gone ? 60 : ATTEMPTS)) throw error;
      await pause(gone ? 1000 : 300 * attempt);
    }
  }
}

async function cancelled(job) {
  await Promise.all(Object.values(job.memory.open).map(({ id }) => api("DELETE", `/api/uploads/${id}`).catch(() => {})));
}

function progress(job) {
  const all = job.files.reduce((sum, file) => sum + file.size, 0);
  const bar = el("progress", { max: Math.max(1, all), value: 0, "aria-label": t("Uploading") });
  const line = el("span", { class: "small soft upload-line" });
  const stop = el("button", { type: "button" }, t("Cancel"));
  stop.addEventListener("click", () => { job.stopped = true; stop.disabled = true; });
  const show = (file) => {
    const sent = [...job.sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    const seconds = (performance.now() - job.since) / 1000;
    const left = sent > 0 && seconds > 2 ? t("{time} left", { time: duration((seconds * (all - sent)) / sent) }) : "";
    bar.value = sent;
    line.textContent = [t("{n} of {all} files", { n: number(job.ended), all: number(job.files.length) }), left, file.name].filter(Boolean).join(" · ");
  };
  return { element: el("div", { class: "stack tight" }, bar, el("div", { class: "row apart" }, line, stop)), show };
}

function told(job, skipped) {
  const found = job.refused.slice(0, SHOWN).map((text) => el("p", { class: "notice" }, text));
  const more = job.refused.length - SHOWN;
  if (more > 0) found.push(el("p", { class: "notice" }, t("Refused besides: {n} more.", { n: number(more) })));
  if (skipped > 0) found.push(el("p", { class: "notice" }, t("Left out, since they are neither pictures nor archives: {n}.", { n: number(skipped) })));
  const arrived = job.ended - job.refused.length;
  if (job.stopped) found.push(el("p", { class: "notice" }, t("Cancelled. Arrived before: {n}.", { n: number(job.memory.done.length) })));
  else if (arrived > 0) found.push(el("p", { class: "notice fine" }, t("Arrived in the set {name}: {n}.", { n: number(arrived), name: job.name })));
  return found;
}
