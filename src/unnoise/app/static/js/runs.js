// The page Runs: the list with its search and pages, the queue, and what is chosen to be compared.

import { api, busy, data, t } from "./common.js";
import { makeCard, showCard } from "./run_card.js";
import { isOpen, openMore, wireMore } from "./run_dialog.js";
import { showQueue } from "./run_queue.js";

const $ = (id) => document.getElementById(id);
const [FEWEST, MOST, SOON, LATER] = [2, 6, 2500, 10000];
const cards = new Map();
let list = data;
let asked = 0;

const chosen = new Set(remembered());

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem("chosen-runs") ?? "[]");
  } catch {
    return [];
  }
}

function showChosen() {
  const n = chosen.size;
  $("compare").disabled = n < FEWEST || n > MOST;
  $("none").disabled = n === 0;
  $("compare").classList.toggle("primary", !$("compare").disabled);
  const many = t("{n} are chosen: at most {most} can be compared at once.", { n, most: MOST });
  const some = n === 1 ? t("One is chosen: tick another one.") : t("{n} are chosen.", { n });
  $("chosen").textContent = n === 0 ? t("Tick two to six runs to compare them.") : n > MOST ? many : some;
  try {
    sessionStorage.setItem("chosen-runs", JSON.stringify([...chosen]));
  } catch { /* they are kept for this page only */ }
}

function choose(id, is) {
  if (is) chosen.add(id);
  else chosen.delete(id);
  showChosen();
}

async function act(button, id, action) {
  await busy(button, () => api("POST", `/api/runs/${id}/${action}`, {}));
  await refresh();
}

/** Cards stay the same elements while their run is listed, so that focus and ticks outlive a refresh. */
function showCards() {
  const wanted = list.runs.map((run) => {
    if (!cards.has(run.id)) cards.set(run.id, makeCard(run, { choose, act, more: openMore, chosen: chosen.has(run.id) }));
    const card = cards.get(run.id);
    showCard(card, run);
    return card.element;
  });
  for (const [id, card] of cards) {
    if (!wanted.includes(card.element)) {
      card.element.remove();
      cards.delete(id);
    }
  }
  const there = [...$("cards").children];
  if (wanted.some((element, place) => there[place] !== element)) wanted.forEach((element, place) => {
    if ($("cards").children[place] !== element) $("cards").insertBefore(element, $("cards").children[place] ?? null);
  });
}

function show() {
  showCards();
  showQueue(list.status, act);
  $("nothing").hidden = list.total > 0;
  $("pager").hidden = list.pages < 2;
  $("previous").disabled = list.page <= 1;
  $("next").disabled = list.page >= list.pages;
  $("place").textContent = t("Page {page} of {pages}: {total} runs", { page: list.page, pages: list.pages, total: list.total });
}

async function refresh(page = list.page) {
  const mine = ++asked;
  const words = new URLSearchParams({ search: $("search").value, page });
  const [found, status] = await Promise.all([api("GET", `/api/runs?${words}`), api("GET", "/api/status")]);
  if (mine !== asked) return; // a later question is on its way
  list = { ...found, status };
  show();
}

async function turn(page) {
  await refresh(page).catch(() => {});
  const address = new URL(location.href);
  const given = { search: $("search").value, page: list.page > 1 ? String(list.page) : "" };
  for (const [name, value] of Object.entries(given)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
}

function wire() {
  let typing = null;
  $("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => turn(1), 250);
  });
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    turn(1);
  });
  $("previous").addEventListener("click", () => turn(list.page - 1));
  $("next").addEventListener("click", () => turn(list.page + 1));
  $("compare").addEventListener("click", () => {
    location.href = `/compare?${[...chosen].map((id) => `run=${id}`).join("&")}`;
  });
  $("none").addEventListener("click", () => {
    chosen.clear();
    for (const card of cards.values()) card.tick.checked = false;
    showChosen();
  });
}

/** Looks again: often while something is trained, and not at all while nobody looks. */
async function follow() {
  const moves = list.status.live !== null || list.status.queue.length > 0;
  await new Promise((done) => { setTimeout(done, moves ? SOON : LATER); });
  if (!document.hidden && !isOpen()) await refresh().catch(() => {});
  follow();
}

if ($("cards")) {
  show();
  showChosen();
  wire();
  wireMore({ refresh, forget: (id) => choose(id, false) });
  follow();
}
