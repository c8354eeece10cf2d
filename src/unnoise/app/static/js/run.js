// The page Watch: the sheet that sharpens, progress, curves, and what can be asked of the run.

import { api, busy, data, el, live, number, say, showCommand, stateWord, duration, t } from "./common.js";
import { chart, roundUp } from "./curves.js";
import { wireMaking } from "./making.js";
import { tr } from "./translate.js";

const $ = (id) => document.getElementById(id);
const path = `/api/runs/${data.run.id}`;
const curve = chart($("curve"), t("minutes of training"));
const kids = chart($("kid-curve"), t("minutes of training"));
let shown = data.run;
let follows = true;

function showState(run) {
  const state = $("state");
  state.className = `state ${run.state}`;
  state.textContent = stateWord(run.state);
  const message = $("message");
  message.hidden = !run.message;
  message.textContent = tr(run.message ?? "");
  for (const action of ["pause", "resume", "stop", "cancel", "delete"]) $(action).hidden = !run.actions.includes(action);
  $("try").hidden = !run.actions.includes("pause") || !run.has_weights;
  $("draw").hidden = !run.has_weights || run.actions.includes("pause");
  $("longer").hidden = !run.actions.includes("longer");
}

function showProgress(run) {
  $("progress").value = run.spent;
  const budget = tr(run.budget ?? "");
  const percent = Math.floor(100 * run.spent);
  $("spent").textContent = budget ? t("{percent} % of {budget}", { percent, budget }) : stateWord(run.state);
  const left = run.seconds_left;
  $("left").textContent = left === null ? t("trained for {time}", { time: duration(run.seconds) }) : t("{time} left", { time: duration(left) });
  $("speed").textContent = run.images_per_second === null ? "–" : number(run.images_per_second, 3);
  $("images").textContent = number(run.images);
  $("steps").textContent = number(run.step);
  $("loss").textContent = number(run.loss);
  $("held-out").textContent = number(run.held_out_loss);
  $("kid").textContent = number(run.kid, 3);
}

function showSheet(run) {
  const place = $("sheet-place");
  const last = run.sheets.length - 1;
  $("sheet").hidden = last < 0;
  $("no-sheet").hidden = last >= 0;
  place.disabled = last < 1;
  place.max = Math.max(last, 0);
  if (follows) place.value = place.max;
  if (last < 0) return;
  const chosen = run.sheets[Math.min(Number(place.value), last)];
  if ($("sheet").getAttribute("src") !== chosen.url) $("sheet").src = chosen.url;
  const values = { step: number(chosen.step), place: Number(place.value) + 1, all: last + 1 };
  $("sheet-told").textContent = t("step {step}, sheet {place} of {all}", values);
}

function showCurves(run) {
  const losses = run.curve.map(([seconds, loss]) => [seconds / 60, loss]);
  const heldOut = run.held_out.map(([seconds, loss]) => [seconds / 60, loss]);
  const minutes = Math.max(0.1, run.seconds / 60);
  const values = [...losses, ...heldOut].map((point) => point[1]).filter(Number.isFinite);
  curve.show({
    curves: [{ points: losses, name: "curve" }, { points: heldOut, name: "curve second", dots: true }],
    range: [0, roundUp(Math.min(Math.max(...values, 0.01), 2))],
    domain: [0, minutes],
    words: t("Training loss {loss} and held-out loss {held} after {n} minutes", { loss: number(run.loss), held: number(run.held_out_loss), n: number(minutes, 2) }),
  });
  $("kid-curve").hidden = run.kids.length === 0;
  const qualities = run.kids.map(([seconds, kid]) => [seconds / 60, kid]);
  kids.show({
    curves: [{ points: qualities, name: "curve", dots: true }],
    range: [0, roundUp(Math.max(0.001, ...qualities.map((point) => point[1])))],
    domain: [0, minutes],
    words: t("KID of samples: {kid}", { kid: number(run.kid, 3) }),
  });
}

function showTexts(run) {
  $("guards").replaceChildren(...run.guards.map((one) => el("p", { class: "notice" }, t("Step {step}: {cause} {action}", { step: number(one.step), cause: tr(one.cause), action: tr(one.action) }))));
  $("log-box").hidden = run.log.length === 0;
  if (run.state === "failed" || run.state === "crashed") $("log-box").open = true;
  $("log").textContent = run.log.join("\n");
  const rows = Object.entries(run.settings).map(([name, value]) => el("tr", {}, el("td", {}, el("code", {}, name)), el("td", {}, value)));
  $("settings").tBodies[0].replaceChildren(...rows);
  showCommand(run.command);
}

function show(run) {
  shown = run;
  for (const part of [showState, showProgress, showSheet, showCurves, showTexts]) part(run);
}

async function ask(action, body) {
  await api("POST", `${path}/${action}`, body ?? {});
  show(await api("GET", path));
}

function wire() {
  $("sheet-place").addEventListener("input", () => {
    follows = $("sheet-place").value === $("sheet-place").max;
    showSheet(shown);
  });
  for (const action of ["pause", "resume", "stop", "cancel"]) {
    $(action).addEventListener("click", () => busy($(action), () => ask(action)));
  }
  $("try").addEventListener("click", () => busy($("try"), async () => {
    await ask("pause");
    location.href = `/run/${data.run.id}/draw`;
  }));
  $("longer").addEventListener("submit", (event) => {
    event.preventDefault();
    busy(event.submitter, () => ask("longer", { minutes: Number($("minutes").value) }));
  });
  $("delete").addEventListener("click", () => busy($("delete"), async () => {
    await api("POST", `${path}/delete`, {});
    location.href = "/trash";
  }));
  $("save-remarks").addEventListener("click", () => busy($("save-remarks"), async () => {
    await api("POST", `${path}/rename`, { name: $("name").value });
    await api("POST", `${path}/note`, { text: $("note").value });
    $("title").textContent = $("name").value || data.run.folder;
    $("run-name").textContent = $("title").textContent;
    say(t("Saved."));
  }));
}

show(data.run);
wire();
wireMaking(data.run.id);
live(`${path}/events`, show);
