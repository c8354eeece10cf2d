// Sheets of drawn pictures: tiles that open, hearts that keep, arrow keys that move.

import { api, data, el, say, t } from "./common.js";

const run = data.run;
const kept = new Map(run.favourites.map((one) => [key(one), favourite(one)]));
const listeners = [];

function key(picture) {
  return `${picture.task}/${picture.name}`;
}

/** A favourite: its name is its seed; how it was drawn, its task knows. */
function favourite({ task, name }) {
  return { task, name, seed: Number(name), url: `/files/tasks/${task}/${name}.png`, words: null };
}

/** How a picture was drawn, without its seed. */
export async function wordsOf(picture) {
  picture.words ??= drawingWords((await api("GET", `/api/tasks/${picture.task}`)).words);
  return picture.words;
}

/** The pictures that a task drew, as sheets and the dialog take them. */
export function picturesOf(done) {
  const words = drawingWords(done.words);
  return done.result.names.map((name, place) => ({
    task: done.id,
    name,
    seed: done.result.seeds[place],
    url: done.files[`${name}.png`],
    words,
  }));
}

/** What one has to say to draw the same again, without the seeds. */
function drawingWords(words) {
  const names = ["steps", "sampler", "label", "guidance", "best"];
  return Object.fromEntries(names.filter((name) => words[name] ?? false).map((name) => [name, words[name]]));
}

/** Fills a sheet; `onOpen` gets the place of the picture that was pressed. */
export function fill(sheet, pictures, onOpen) {
  sheet.replaceChildren(...pictures.map((picture, place) => tile(picture, () => onOpen(place))));
  shape(sheet);
}

/** Shows so many empty tiles, where pictures are being drawn. */
export function fillWaiting(sheet, number) {
  sheet.replaceChildren(...Array.from({ length: number }, () => el("li", {}, el("div", { class: "tile waiting" }))));
  shape(sheet);
}

/** Gives tiles the shape of the run's pictures, and a width that suits them. */
export function shape(element) {
  element.style.setProperty("--ratio", `${run.width} / ${run.height}`);
  if (run.width > 48) element.style.setProperty("--tile", "132px");
}

function tile(picture, onOpen) {
  const alt = t("Picture of seed {seed}", { seed: picture.seed });
  const image = el("img", { src: picture.url, alt, class: pixels(run), loading: "lazy" });
  const button = el("button", { type: "button", class: "tile", onclick: onOpen }, image);
  button.addEventListener("keydown", move);
  const item = el("li", { dataset: { key: key(picture) } }, button, heart(picture));
  image.addEventListener("error", () => item.remove()); // the task may have been tidied away
  return item;
}

/** Small pictures are enlarged pixel by pixel; large ones smoothly. */
export const pixels = (size) => (Math.max(size.width, size.height) <= 96 ? "pixels" : "");

/** Arrow keys go from tile to tile. */
function move(event) {
  const tiles = [...event.currentTarget.closest(".sheet").querySelectorAll(".tile")];
  const place = tiles.indexOf(event.currentTarget);
  const columns = tiles.filter((one) => one.offsetTop + one.parentElement.offsetTop
    === tiles[0].offsetTop + tiles[0].parentElement.offsetTop).length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!by || !tiles[place + by]) return;
  event.preventDefault();
  tiles[place + by].focus();
}

function heart(picture) {
  const button = el("button", { type: "button", class: "heart" }, "♥");
  mark(button, picture);
  button.addEventListener("click", () => keep(picture));
  return button;
}

/** Shows on a heart whether its picture is kept. */
export function mark(button, picture) {
  const on = kept.has(key(picture));
  button.setAttribute("aria-pressed", String(on));
  button.setAttribute("aria-label", on ? t("Keep no longer") : t("Keep as a favourite"));
}

/** Keeps a picture as a favourite, or no longer. */
export async function keep(picture) {
  const on = !kept.has(key(picture));
  try {
    const { task, name } = picture;
    await api("POST", `/api/runs/${run.id}/favourite`, { task, name, on });
  } catch (error) {
    say(error.message, "error");
    return;
  }
  if (on) kept.set(key(picture), picture);
  else kept.delete(key(picture));
  for (const item of document.querySelectorAll("[data-key]")) {
    if (item.dataset.key === key(picture)) mark(item.querySelector(".heart"), picture);
  }
  listeners.forEach((listener) => listener());
}

/** Hears of each change of the favourites. */
export function onKept(listener) {
  listeners.push(listener);
}

/** The favourites, oldest first. */
export const favourites = () => [...kept.values()];
