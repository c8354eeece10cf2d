// The queue above the list: what waits, in its order, and why.

import { el, t } from "./common.js";

const $ = (id) => document.getElementById(id);
let told = "";

/** Shows the runs that wait; `act` takes one out. */
export function showQueue(status, act) {
  const now = JSON.stringify(status);
  if (now === told) return; // a button that has the focus stays
  told = now;
  $("queue").hidden = status.queue.length === 0;
  $("queue-told").textContent = reason(status);
  $("waiting").replaceChildren(...status.queue.map((run) => waiting(run, act)));
}

function reason({ held, live }) {
  if (held && live === null) return t("The queue waits for a paused run: resume it or stop it, and the queue goes on.");
  return t("One run is trained at a time; these begin by themselves, in this order.");
}

function waiting(run, act) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": t("Take {name} out of the queue", { name: run.name }) }, t("Leave the queue"));
  button.addEventListener("click", () => act(button, run.id, "cancel"));
  return el("li", {}, el("div", { class: "wait" }, el("a", { href: `/run/${run.id}` }, run.name), button));
}
