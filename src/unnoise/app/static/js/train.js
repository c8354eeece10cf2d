// The page Train: pictures, minutes with the forecast beside them, and the choices that few need.

import { factName } from "./checkup.js";
import { api, busy, data, duration, el, number, showCommand, t, task } from "./common.js";
import { tr } from "./translate.js";

const $ = (id) => document.getElementById(id);
let forecast = null;
let timer = 0;
let source = ""; // the pictures as a command names them

function showSets() {
  const sets = [...data.sets];
  if (data.set && sets.every((one) => one.id !== data.set)) sets.unshift({ id: data.set, name: chosenName(), pictures: null });
  const chosen = data.set || sets[0]?.id;
  $("sets").replaceChildren(...sets.map((set) => {
    const radio = el("input", { type: "radio", name: "set", value: set.id, required: true });
    radio.checked = set.id === chosen;
    return el("label", { class: "choice" }, el("span", { class: "row" }, radio, el("strong", {}, set.name)), set.pictures ? el("span", { class: "soft small" }, t("{n} pictures", { n: number(set.pictures) })) : null);
  }));
}

/** The name of a folder that was chosen on the page Pictures, which this browser remembers. */
function chosenName() {
  try {
    return JSON.parse(sessionStorage.getItem("set-names") ?? "{}")[data.set]?.split("/").filter(Boolean).pop() ?? t("the chosen folder");
  } catch {
    return t("the chosen folder");
  }
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
  const promise = el("p", { class: "soft small" }, t("How many images the time is enough for, when pictures become usable, and the memory and disk that it takes will be told here."));
  $("forecast").replaceChildren(bar, line, promise);
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
  const { proposal, forecast: costs, findings, speed } = done.result;
  const serious = findings.filter((one) => one.serious);
  const size = `${proposal.height} × ${proposal.width}`;
  const rows = [[t("size"), size], [t("recipe"), $("preset").value || proposal.preset], ...costs];
  const unmeasured = t("While another run is trained, speed cannot be measured, and there is no forecast of what the time is enough for.");
  $("forecast").replaceChildren(
    el("dl", { class: "facts" }, rows.flatMap(([name, value]) => [el("dt", {}, factName(name)), el("dd", {}, tr(value))])),
    ...(speed === null ? [el("p", { class: "soft small" }, unmeasured)] : []),
    ...serious.slice(0, 3).map((one) => el("p", { class: "notice small" }, tr(one.text))),
  );
  source = done.command.replace(/^unnoise info /, "").replace(/( --(size|minutes) \S+)+$/, "");
  tellCommand();
}

/** The command of what is chosen, as the app would start it. */
function tellCommand() {
  if (!source) return;
  const { minutes, name, preset, size, channels, seed, labels, flip, until_converged: converged } = words();
  const run = name || source.replaceAll("'", "").split("/").pop().split(".")[0];
  const parts = ["unnoise train", source, "--out", /^[\w./-]+$/.test(run) ? `runs/${run}` : `'runs/${run}'`, "--minutes", minutes];
  const options = { "--preset": preset, "--size": size, "--channels": channels, "--seed": seed };
  for (const [option, value] of Object.entries(options)) if (value !== undefined) parts.push(option, value);
  if (flip) parts.push("--flip");
  if (converged) parts.push("--until-converged");
  if (labels) parts.push("--labels auto");
  showCommand(parts.join(" "));
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(showForecast, 500);
}

async function start() {
  forecast?.cancel();
  $("refused").hidden = true;
  try {
    const { id } = await api("POST", "/api/runs", words());
    location.href = `/run/${id}`;
    await new Promise(() => {}); // the button stays off until the other page is there
  } catch (error) {
    $("refused").textContent = error.message;
    $("refused").hidden = false;
  }
}

showSets();
for (const id of ["minutes", "size", "sets"]) $(id).addEventListener("change", later);
$("form").addEventListener("input", tellCommand);
for (const button of document.querySelectorAll("[data-minutes]")) {
  button.addEventListener("click", () => { $("minutes").value = button.dataset.minutes; later(); });
}
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (chosenSet()) busy($("start"), start);
  else location.href = "/pictures";
});
showForecast();
