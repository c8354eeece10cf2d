// The dialog of a card: name, note, what can be asked of a run, its command, and the way to the trash.

import { api, busy, el, say, showCommand, stateWord, t } from "./common.js";
import { actionWord } from "./run_card.js";

const $ = (id) => document.getElementById(id);
let shown = null;
let after = { refresh: async () => {}, forget: () => {} };

/** Whether somebody is at it, so that the list does not move below. */
export const isOpen = () => $("more").open;

/** Opens the dialog for a run. */
export function openMore(run) {
  shown = run;
  $("more-title").textContent = run.name;
  const state = t("State: {state}", { state: stateWord(run.state) });
  const pictures = t("pictures: {source}", { source: run.source.split("/").pop() || run.source });
  $("more-told").textContent = [state, pictures, new Date(run.changed).toLocaleString(document.documentElement.lang)].join(" · ");
  $("name").value = run.name;
  $("note").value = run.note;
  $("more-command").textContent = run.command;
  showCommand(run.command);
  $("delete").hidden = !run.actions.includes("delete");
  const links = [["", t("Watch")], ...(run.has_weights ? [["/draw", t("Draw")]] : [])];
  const buttons = run.actions.filter(actionWord).map((action) => actionButton(action));
  $("more-actions").replaceChildren(...links.map(([end, word]) => el("a", { class: "button", href: `/run/${run.id}${end}` }, word)), ...buttons);
  $("more").showModal();
}

function actionButton(action) {
  const button = el("button", { type: "button" }, actionWord(action));
  button.addEventListener("click", () => ask(button, action));
  return button;
}

async function ask(button, action) {
  const done = await busy(button, () => api("POST", `/api/runs/${shown.id}/${action}`, {}));
  if (done === null) return;
  if (action === "delete") after.forget(shown.id);
  $("more").close();
  await after.refresh();
  if (action === "delete") say(t("{name} is in the trash.", { name: shown.name }));
}

async function save() {
  const path = `/api/runs/${shown.id}`;
  if ($("name").value !== shown.name) await api("POST", `${path}/rename`, { name: $("name").value });
  if ($("note").value !== shown.note) await api("POST", `${path}/note`, { text: $("note").value });
  $("more").close();
  await after.refresh();
  say(t("Saved."));
}

/** Wires the dialog; `given` has `refresh` for the list, and `forget` for ids that are gone. */
export function wireMore(given) {
  after = given;
  $("close").addEventListener("click", () => $("more").close());
  $("delete").addEventListener("click", () => ask($("delete"), "delete"));
  $("remarks").addEventListener("submit", (event) => {
    event.preventDefault();
    busy(event.submitter ?? $("close"), save);
  });
}
