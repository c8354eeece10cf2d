// Redraw, vary, inpaint, outpaint and restore: what is done with a picture of one's own.

import { busy, data, el, showCommand, t, task } from "./common.js";
import { brush } from "./brush.js";
import { chooser } from "./picture.js";
import { pixels, shape } from "./sheet.js";
import { downloads, fileName, newSeed, progressBar, valueOf } from "./work.js";

const run = data.run;
const by = (id) => document.getElementById(id);
const state = { picture: null, asked: null, brush: null };

/** Makes the part of the page ready. */
export function prepareEdits() {
  const bar = progressBar(() => state.asked?.cancel());
  by("edit-progress").replaceWith(bar.element);
  state.brush = brush();
  by("brush-frame").replaceWith(state.brush.frame);
  by("brush-controls").replaceWith(state.brush.controls);
  shape(by("own"));
  chooser(by("chooser"), ({ picture, clean }) => {
    state.picture = picture;
    state.brush.show(clean);
    by("edit-go").disabled = false;
  });
  for (const radio of document.getElementsByName("tool")) radio.addEventListener("change", showTool);
  for (const slider of document.querySelectorAll("[data-told]")) {
    const tell = () => { by(slider.dataset.told).textContent = Number(slider.value).toFixed(2); };
    slider.addEventListener("input", tell);
    tell();
  }
  by("restore-task").addEventListener("change", showRestore);
  by("edit-go").addEventListener("click", () => busy(by("edit-go"), () => edit(bar)));
  showTool();
  showRestore();
}

const tool = () => document.querySelector("[name=tool]:checked").value;

function showTool() {
  for (const panel of document.querySelectorAll("[data-tool]")) panel.hidden = panel.dataset.tool !== tool();
}

function showRestore() {
  const chosen = by("restore-task").value;
  for (const text of document.querySelectorAll("[data-restore]")) text.hidden = text.dataset.restore !== chosen;
}

/** What the chosen tool is told, beside the picture. */
function words() {
  const given = {
    redraw: () => ({ strength: valueOf(by("strength")), versions: valueOf(by("versions")) }),
    vary: () => ({ amount: valueOf(by("amount")), number: valueOf(by("variations")) }),
    inpaint: () => ({ mask: state.brush.mask() }),
    outpaint: () => ({ height: valueOf(by("canvas-height")), width: valueOf(by("canvas-width")) }),
    restore: () => {
      const chosen = by("restore-task").value;
      return { task: chosen, factor: chosen === "upscale" ? valueOf(by("factor")) : null, spoil: !by("already").checked };
    },
  }[tool()]();
  return { run: run.id, picture: state.picture, seed: newSeed(), label: by("edit-label")?.value || null, ...given };
}

async function edit(bar) {
  if (tool() === "inpaint" && state.brush.empty()) {
    throw new Error(t("Paint first what is to be drawn anew."));
  }
  by("edit-downloads").replaceChildren();
  bar.show();
  state.asked = task(tool(), words(), bar.show);
  try {
    show(await state.asked);
  } finally {
    bar.hide();
  }
}

/** Results stand beside what they were made from; the newest attempt is on top. */
function show(done) {
  showCommand(done.command);
  by("edit-none").hidden = true;
  by("edit-downloads").replaceChildren(downloads(done, ["png"]));
  const figures = done.result.columns.flatMap(([title, names]) => names.map((name) => {
    const image = el("img", { src: done.files[name], alt: titleOf(title), class: pixels(run) });
    const save = el("a", { href: done.files[name], download: fileName(`${done.kind}-${name.split(".")[0]}`, "png") }, t("Save"));
    return el("figure", {}, el("div", { class: "view" }, image), el("figcaption", {}, titleOf(title), " · ", save));
  }));
  const row = el("div", { class: "results result-row" }, figures);
  if (done.kind === "outpaint") row.style.setProperty("--ratio", ratio(done));
  by("edit-results").prepend(row);
  while (by("edit-results").children.length > 6) by("edit-results").lastChild.remove();
}

const ratio = (done) => (done.words.width && done.words.height ? `${done.words.width} / ${done.words.height}` : "1");

/** The word over a column. */
function titleOf(title) {
  const known = {
    before: t("before"),
    after: t("after"),
    mask: t("mask"),
    small: t("made small"),
    grey: t("made grey"),
    blurred: t("blurred"),
    restored: t("restored"),
  }[title.toLowerCase()];
  const numbered = /^(\D*?)\s*(\d+)$/.exec(title);
  if (known || !numbered) return known ?? title;
  return t("version {n}", { n: numbered[2] });
}
