// Uploads in pieces, with a bar; a piece that fails is sent again from where the server stands.

import { api, el, pause, t } from "./common.js";

const ATTEMPTS = 5;

/** Uploads files into a set, and returns {id, name} of it; one bar for all of them. */
export async function upload(files, name, place) {
  const all = files.reduce((sum, file) => sum + file.size, 0);
  const bar = el("progress", { max: Math.max(1, all), value: 0, "aria-label": t("Uploading") });
  const line = el("span", { class: "small soft" });
  const stop = el("button", { type: "button" }, t("Cancel"));
  const job = { stopped: false };
  stop.addEventListener("click", () => { job.stopped = true; });
  const row = el("div", { class: "stack tight" }, bar, el("div", { class: "row apart" }, line, stop));
  place.replaceChildren(row);
  const refused = [];
  let sent = 0;
  let set = null;
  for (const [number, file] of files.entries()) {
    if (job.stopped) break;
    line.textContent = t("{name}, file {n} of {all}", { name: file.name, n: number + 1, all: files.length });
    try {
      set = await one(file, name, job, (received) => { bar.value = sent + received; }) ?? set;
    } catch (error) {
      refused.push(error.message);
    }
    sent += file.size;
  }
  row.replaceChildren(...refused.slice(0, 5).map((text) => el("p", { class: "notice" }, text)));
  if (refused.length > 5) row.append(el("p", {}, t("and {n} more files were refused", { n: refused.length - 5 })));
  if (set && !refused.length) row.append(el("p", { class: "notice fine" }, t("{n} files are in the set {name}.", { n: files.length, name })));
  return set;
}

/** Uploads one file; the id of its set, or null where it was cancelled. */
async function one(file, set, job, onProgress) {
  const { id, piece } = await api("POST", "/api/uploads", { name: file.name, size: file.size, set });
  let received = 0;
  for (let failed = 0; received < file.size;) {
    if (job.stopped) {
      await api("DELETE", `/api/uploads/${id}`).catch(() => {});
      return null;
    }
    try {
      const part = file.slice(received, received + piece);
      received = (await api("PUT", `/api/uploads/${id}?offset=${received}`, part)).received;
      failed = 0;
    } catch (error) {
      failed += 1;
      if (failed >= ATTEMPTS) throw error;
      await pause(500 * failed);
      received = (await api("GET", `/api/uploads/${id}`)).received;
    }
    onProgress(received);
  }
  const done = await api("POST", `/api/uploads/${id}/finish`, {});
  return { id: done.set, name: set };
}
