// Reports and exports of a run: tasks that end with a file to open or to download.

import { busy, el, t, task } from "./common.js";

/** Wires the buttons of "Report and export". */
export function wireMaking(run) {
  for (const button of document.querySelectorAll("[data-make]")) {
    button.addEventListener("click", () => busy(button, () => make(run, button)));
  }
}

async function make(run, button) {
  const kind = button.dataset.make;
  const bar = el("progress", { max: 1, "aria-label": button.textContent });
  const line = el("p", {}, t("Working: {what}", { what: button.textContent }), " ", bar);
  const place = document.getElementById("made");
  place.prepend(line);
  try {
    const words = kind === "report" ? { run } : { run, to: kind };
    const done = await task(kind === "report" ? "report" : "export", words, (one) => { if (one.progress > 0) bar.value = one.progress; });
    line.replaceChildren(...links(done));
  } catch (error) {
    line.remove();
    throw error;
  }
}

function links(done) {
  const [name, url] = Object.entries(done.files)[0];
  const save = el("a", { href: `${url}?download`, download: true }, t("Save {name}", { name }));
  return name === "report.html" ? [el("a", { href: url, target: "_blank" }, t("Open the report")), " · ", save] : [save];
}
