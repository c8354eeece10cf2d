// The card of a run in the list.

import { duration, el, number, stateWord, t } from "./common.js";
import { tr } from "./translate.js";

const FIRST = ["resume", "pause"];
const DURING = new Set(["training", "preparing", "stopping", "paused", "crashed", "failed", "stopped"]);

/** The words of what can be asked of a run. */
export function actionWord(action) {
  return { resume: t("Resume"), pause: t("Pause"), stop: t("Stop"), cancel: t("Leave the queue") }[action];
}

/** An empty card; `showCard` fills it in, again and again. `wishes` hear of ticks and buttons. */
export function makeCard(run, wishes) {
  const id = run.id;
  const tick = el("input", { type: "checkbox", onchange: (event) => wishes.choose(id, event.target.checked) });
  tick.checked = wishes.chosen;
  const image = el("img", { class: "pixels", alt: "", loading: "lazy", hidden: true });
  const none = el("span", {});
  const name = el("a", { href: `/run/${id}` });
  const card = {
    tick, image, none, name,
    state: el("span", {}),
    share: el("span", { class: "share" }),
    bar: el("progress", { max: 1, value: 0, "aria-label": t("Share of the time") }),
    told: el("p", { class: "told" }),
    remark: el("p", { class: "told remark" }),
    act: el("button", { type: "button" }),
    more: el("button", { type: "button", class: "dots quiet" }, "⋯"),
  };
  card.act.addEventListener("click", () => wishes.act(card.act, id, card.act.dataset.action));
  card.more.addEventListener("click", () => wishes.more(card.run));
  const head = el("div", { class: "state-row" }, card.state, card.share);
  const doing = el("div", { class: "do" }, card.act, card.more);
  const body = el("div", { class: "body" }, el("h2", {}, name), head, card.bar, el("div", {}, card.told, card.remark), doing);
  const picture = el("a", { class: "picture", href: `/run/${id}`, tabindex: -1, "aria-hidden": "true" }, image, none);
  card.element = el("li", { class: "card plain run" }, picture, el("label", { class: "tick" }, tick), body);
  return card;
}

/** Writes what a run is now into its card. */
export function showCard(card, run) {
  card.run = run;
  card.name.textContent = run.name;
  card.name.title = run.name;
  card.tick.setAttribute("aria-label", t("Compare {name}", { name: run.name }));
  card.more.setAttribute("aria-label", t("More about {name}", { name: run.name }));
  card.state.className = `state ${run.state}`;
  card.state.textContent = stateWord(run.state);
  showPicture(card, run);
  const during = DURING.has(run.state) && run.spent > 0 && run.spent < 1;
  card.share.textContent = during ? `${Math.floor(100 * run.spent)} %` : "";
  card.bar.hidden = !during;
  card.bar.value = run.spent;
  card.told.textContent = told(run);
  card.remark.textContent = run.message ? tr(run.message) : run.note;
  card.remark.classList.toggle("bad", Boolean(run.message));
  const action = FIRST.find((one) => run.actions.includes(one));
  card.act.hidden = !action;
  card.act.dataset.action = action ?? "";
  card.act.textContent = action ? actionWord(action) : "";
  card.act.setAttribute("aria-label", action ? `${actionWord(action)}: ${run.name}` : "");
}

function showPicture(card, run) {
  card.image.hidden = !run.picture;
  card.none.hidden = Boolean(run.picture);
  card.none.textContent = run.state === "waiting" ? t("Its pictures will be here when its turn has come.") : t("It has drawn nothing yet.");
  if (run.picture && card.image.getAttribute("src") !== run.picture) card.image.src = run.picture;
}

function told(run) {
  const parts = [run.height ? `${run.height} × ${run.width}` : "", run.preset ?? "", tr(run.budget ?? "")];
  if (run.seconds) parts.push(t("trained for {time}", { time: duration(run.seconds) }));
  if (run.held_out_loss !== null) parts.push(t("held-out loss {loss}", { loss: number(run.held_out_loss, 3) }));
  if (run.kid !== null) parts.push(`KID ${number(run.kid, 3)}`);
  return parts.filter(Boolean).join(" · ");
}
