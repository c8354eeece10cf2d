// The page Pictures: known sets, the browser of folders, uploads, and the doctor's findings.

import { api, busy, data, el, number, say, t } from "./common.js";
import { examine } from "./checkup.js";
import { wireDropping } from "./dropping.js";
import { upload } from "./upload.js";
import { forget, interrupted } from "./upload_memory.js";

const $ = (id) => document.getElementById(id);
let named = false; // whether somebody has typed a name of the set

function showSets(sets) {
  const button = (set) => el("button", { type: "button", onclick: () => examine(set) },
    el("strong", {}, set.name),
    el("span", { class: "soft small" }, set.pictures ? t("{n} pictures", { n: number(set.pictures) }) : set.kind === "folder" ? t("a folder") : t("a file")));
  $("sets").replaceChildren(...sets.map(button));
}

function showFolder(found) {
  const step = (folder) => el("button", { type: "button", class: "quiet", onclick: (event) => busy(event.currentTarget, () => open(folder.id)) }, folder.name);
  const crumbs = el("nav", { class: "crumbs", "aria-label": t("Folders above") }, found.parents.flatMap((one) => [step(one), "/"]), el("strong", {}, found.name));
  const folders = found.folders.map((folder) => el("li", {},
    el("button", { type: "button", class: "link", onclick: (event) => busy(event.currentTarget, () => open(folder.id)) }, `${folder.name}/`),
    el("span", { class: "soft small" }, folder.pictures ? t("{n} pictures", { n: number(folder.pictures) + (folder.more ? "+" : "") }) : ""),
    folder.pictures ? choice(folder, `${folder.name}/`) : null));
  const files = found.files.map((file) => el("li", {}, el("span", {}, file.name), choice(file, file.name)));
  const list = folders.length + files.length ? el("ul", { class: "list", tabindex: 0, "aria-label": t("Folders and archives") }, folders, files) : null;
  const nothing = folders.length + files.length + (found.id ? found.pictures : 0) ? null : el("p", { class: "soft" }, t("There are no folders and no archives in here. Copy a folder of pictures into the workspace, or drop pictures into the other box."));
  const here = found.id && found.pictures ? el("p", {}, choice(found, found.name, t("Use this folder: {n} pictures", { n: number(found.pictures) + (found.more ? "+" : "") }))) : null;
  $("browser").replaceChildren(crumbs, ...[here, list, nothing, pages(found)].filter(Boolean));
}

function choice(place, name, text = t("Use")) {
  return el("button", { type: "button", "aria-label": text === t("Use") ? `${text} ${name}` : null, onclick: () => examine({ id: place.id, name }) }, text);
}

function pages(found) {
  if ((found.pages ?? 1) < 2) return null;
  const turn = (page, text) => el("button", { type: "button", onclick: () => open(found.id, page) }, text);
  return el("div", { class: "row" }, found.page > 1 ? turn(found.page - 1, t("Back")) : null,
    el("span", {}, t("page {page} of {pages}", found)), found.page < found.pages ? turn(found.page + 1, t("More")) : null);
}

async function open(id, page = 1) {
  showFolder(await api("GET", `/api/folders?${new URLSearchParams({ id, page })}`));
}

async function openTyped(event) {
  event.preventDefault();
  await busy(event.submitter, async () => {
    const found = await api("GET", `/api/folders/named?${new URLSearchParams({ text: $("path").value })}`);
    showFolder(found);
    if (found.chosen && (found.pictures || found.chosen !== found.id)) examine({ id: found.chosen, name: $("path").value });
  });
}

async function receive(files, folder) {
  if (!files.length) return;
  if (folder && !named) $("set-name").value = plainName(folder);
  try {
    const set = await upload(files, $("set-name").value.trim() || t("my pictures"), $("uploads"));
    showSets((await api("GET", "/api/sets")).sets);
    if (set) examine(set);
  } catch (error) {
    say(error.message, "error");
  }
  showInterrupted();
}

const plainName = (text) => text.replace(/[^\p{L}\p{N}_ -]/gu, "-").slice(0, 50) || t("my pictures");

function showInterrupted() {
  const sentence = (name) => t("The upload into the set {name} was interrupted: choose the same files again, and it goes on where it stopped.", { name });
  const drop = (name) => el("button", { type: "button", class: "quiet", onclick: () => { forget(name); showInterrupted(); } }, t("Forget it"));
  const use = (name) => el("button", { type: "button", class: "quiet", onclick: () => { $("set-name").value = name; $("files").focus(); } }, t("Use this name"));
  $("interrupted").replaceChildren(...interrupted().map((name) => el("div", { class: "notice" }, el("p", {}, sentence(name)), el("div", { class: "row" }, use(name), drop(name)))));
}

showSets(data.sets);
$("typed").addEventListener("submit", openTyped);
wireDropping($("drop"), [$("files"), $("folder")], receive);
$("set-name").addEventListener("input", () => { named = true; });
$("folder").closest("label").hidden = !("webkitdirectory" in $("folder"));
showInterrupted();
open("").catch((error) => say(error.message, "error"));
