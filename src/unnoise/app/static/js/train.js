// The page Train: pictures, minutes with the forecast beside them, and the choices that few need.

import { api, busy, data, duration, el, number, showCommand, t, task } from "./common.js";

const $ = (id) => document.getElementById(id);
let forecast = null;
let timer = 0;

function showSets() {
  const sets = [...data.sets];
  if (data.set && sets.every((one) => one.id !== data.set)) sets.unshift({ id: data.set, name: t("the chosen folder"), pictures: null });
  const chosen = data.set || sets[0]?.id;
  $("sets").replaceChildren(...sets.map((set) => {
    const radio = el("input", { type: "radio", name: "set", value: set.id, required: true });
    radio.checked = set.id === chosen;
    return el("label", { class: "choice" }, el("span", { class: "row" }, radio, el("strong", {}, set.name)), set.pictures ? el("span", { class: "soft small" }, t("{n} pictures", { n: number(set.pictures) })) : null);
  }));
}

const chosenSet = () => document.querySelector("input[name=set]:checked")?.value;

/** Words of the request, only those that were filled in. */
function words() {
  const given = { pictures: chosenSet(), minutes: Number($("minutes").value), name: $("name").value.trim(), preset: $("preset").value, size: $("size").value.trim() };
  for (const name of ["channels", "seed"]) if ($(name).value !== "") given[name] = Number($(name).value);
  for (const [name, box] of [["labels", "labels"], ["flip", "flip"], ["until_converged", "converged"]]) if ($(box).checked) given[name] = true;
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
}

async function showForecast() {
  const pictures = chosenSet();
  const minutes = Number($("minutes").value);
  if (!pictures || !(minutes > 0)) return;
  forecast?.cancel();
  const bar = el("progress", { max: 1, "aria-label": t("Looking at the pictures") });
  const line = el("p", { class: "soft small" }, t("Looking at the pictures"));
  $("forecast").replaceChildren(bar, line);
  const size = $("size").value.trim();
  const work = task("checkup", { pictures, minutes, ...(size ? { size } : {}) }, (one) => {
    if (one.progress > 0) bar.value = one.progress;
    if (one.left) line.textContent = `${t("Looking at the pictures")}, ${t("{time} left", { time: duration(one.left) })}`;
  });
  forecast = work;
  try {
    const done = await work;
    if (forecast === work) tell(done);
  } catch (error) {
    if (forecast === work) $("forecast").replaceChildren(el("p", { class: "notice error" }, error.message));
  }
}

function tell(done) {
  const { proposal, forecast: costs, findings } = done.result;
  const serious = findings.filter((one) => one.serious);
  const size = `${proposal.height} × ${proposal.width}`;
  $("forecast").replaceChildren(
    el("dl", { class: "facts" }, [[t("size"), size], [t("recipe"), proposal.preset], ...costs].flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    ...serious.slice(0, 3).map((one) => el("p", { class: "notice small" }, one.text)),
  );
  showCommand(done.command.replace("unnoise info", "unnoise train"));
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(showForecast, 500);
}

showSets();
for (const id of ["minutes", "size", "sets"]) $(id).addEventListener("change", later);
for (const button of document.querySelectorAll("[data-minutes]")) {
  button.addEventListener("click", () => { $("minutes").value = button.dataset.minutes; later(); });
}
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  forecast?.cancel();
  busy($("start"), async () => {
    const { id } = await api("POST", "/api/runs", words());
    location.href = `/run/${id}`;
  });
});
showForecast();
