// The page Compare: curves of several runs on one chart, and a table of what differs.

import { data, duration, el, number, stateWord, t } from "./common.js";
import { chart, roundUp } from "./curves.js";

const KINDS = ["curve", "curve second", "curve third", "curve fourth", "curve fifth", "curve sixth"];
const runs = data.runs;

function showCurves() {
  const points = runs.map((run) => (run.held_out.length > 1 ? run.held_out : run.curve).map(([seconds, loss]) => [seconds / 60, loss]));
  const losses = points.flat().map((point) => point[1]);
  chart(document.getElementById("curve"), t("minutes of training")).show({
    curves: points.map((one, place) => ({ points: one, name: KINDS[place] })),
    range: [0, roundUp(Math.min(2, Math.max(0.01, ...losses)))],
    domain: [0, Math.max(0.1, ...points.flat().map((point) => point[0]))],
    words: runs.map((run) => `${run.name}: ${number(run.held_out_loss)}`).join(", "),
  });
  const keys = runs.map((run, place) => el("li", {}, el("span", { class: KINDS[place].replace("curve", "key") }), run.name));
  document.getElementById("legend").replaceChildren(...keys);
}

function showTable() {
  const figures = [
    [t("State"), (run) => stateWord(run.state)],
    [t("Trained for"), (run) => duration(run.seconds)],
    [t("Images seen"), (run) => number(run.images)],
    [t("Loss"), (run) => number(run.loss)],
    [t("Held-out loss"), (run) => number(run.held_out_loss)],
    [t("KID of samples"), (run) => number(run.kid, 3)],
  ].map(([name, read]) => [name, runs.map(read)]);
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.settings)))];
  const settings = names
    .map((name) => [name, runs.map((run) => run.settings[name] ?? "–")])
    .filter(([, values]) => new Set(values).size > 1);
  const head = el("tr", {}, el("td", {}), runs.map((run) => el("th", { scope: "col" }, run.name)));
  const rows = [...figures, ...settings].map(([name, values]) => el("tr", {}, el("th", { scope: "row" }, name), values.map((value) => el("td", {}, value))));
  document.getElementById("table").replaceChildren(el("thead", {}, head), el("tbody", {}, rows));
}

if (runs.length > 1) {
  showCurves();
  showTable();
}
