// The chooser of a picture to start from: one's own, a held-out one of the run, or one that was drawn.

import { api, busy, data, el, say, t, task } from "./common.js";
import { picturesOf, pixels, shape } from "./sheet.js";

const run = data.run;

/**
 * Makes a chooser. `onChosen` gets {picture, clean}: what tasks take, and the address of the picture as the run
 * sees it: cut and scaled as its own pictures are.
 */
export function chooser(place, onChosen) {
  const view = el("img", { alt: t("The chosen picture, as the run sees it"), class: pixels(run), hidden: true });
  const hint = el("span", {}, t("No picture yet"));
  const frame = el("div", { class: "view" }, view, hint);
  const note = el("p", { class: "small soft note", role: "status" });
  const state = { asked: null };
  const choose = async (picture, said) => {
    state.asked?.cancel();
    const asked = task("forward", { run: run.id, picture, time: 0 });
    state.asked = asked;
    note.textContent = t("Reading the picture …");
    try {
      const done = await asked;
      if (state.asked !== asked) return;
      view.src = done.files["clean.png"];
      view.hidden = false;
      hint.hidden = true;
      note.textContent = said;
      onChosen({ picture, clean: done.files["clean.png"] });
    } catch (error) {
      if (state.asked !== asked) return;
      note.textContent = "";
      say(error.message, "error");
    }
  };
  const options = el("div", { class: "options" }, upload(choose), heldOut(choose), drawn(choose), note);
  place.replaceChildren(el("div", { class: "chooser" }, frame, options));
  shape(place);
  first(choose);
}

/** What the address asks for, else the first held-out picture, so that no box is empty. */
function first(choose) {
  const words = new URLSearchParams(location.search);
  const [of, name] = [words.get("task"), words.get("name")];
  if (of && name) choose({ task: of, name }, t("The picture that you opened."));
  else if (heldOutNumber() > 0) choose({ held_out: 0 }, heldOutSentence());
}

const MOST_HELD_OUT = 12; // that the worker hands out
const heldOutNumber = () => Math.min(MOST_HELD_OUT, Number(run.settings["data.held_out"] ?? 0));
const heldOutSentence = () => t("A held-out picture: the run was never trained on it.");

function upload(choose) {
  const hidden = { class: "visually-hidden", tabindex: "-1", "aria-hidden": "true" };
  const input = el("input", { type: "file", accept: "image/*", ...hidden });
  const button = el("button", { type: "button", onclick: () => input.click() }, t("Choose a picture of yours"));
  const drop = el("div", { class: "drop" }, el("p", {}, t("Drop a picture here, or")), button, input);
  const take = (file) => file && busy(button, async () => {
    choose(await send(file), t("Your picture {name}, cut and scaled as the run's own are. It stays on this computer.", { name: file.name }));
  });
  input.addEventListener("change", () => { take(input.files[0]); input.value = ""; });
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return drop;
}

/** Uploads a single picture piece by piece, and returns its id. */
async function send(file) {
  const begun = await api("POST", "/api/uploads", { name: file.name, size: file.size });
  for (let offset = 0; offset < file.size; offset += begun.piece) {
    await api("PUT", `/api/uploads/${begun.id}?offset=${offset}`, file.slice(offset, offset + begun.piece));
  }
  return (await api("POST", `/api/uploads/${begun.id}/finish`, {})).picture;
}

function heldOut(choose) {
  const most = heldOutNumber();
  if (most < 1) return null;
  let shown = 0;
  const take = () => {
    shown = (shown + 1) % most;
    choose({ held_out: shown }, heldOutSentence());
  };
  return el("div", {}, el("button", { type: "button", onclick: take }, t("Another held-out picture")));
}

/** Thumbnails of what was drawn last. */
function drawn(choose) {
  if (!data.drawn) return null;
  const sheet = el("ul", { class: "sheet little" });
  sheet.append(...picturesOf(data.drawn).slice(0, 6).map((picture) => little(picture, choose)));
  return el("div", {}, el("p", { class: "small soft" }, t("Or one that was drawn:")), sheet);
}

function little(picture, choose) {
  const alt = t("Picture of seed {seed}", { seed: picture.seed });
  const image = el("img", { src: picture.url, alt, class: pixels(run) });
  const take = () => choose({ task: picture.task, name: picture.name }, alt);
  return el("li", {}, el("button", { type: "button", class: "tile", onclick: take }, image));
}
