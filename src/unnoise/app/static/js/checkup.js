// The doctor's findings on a set of pictures, with thumbnails, and what it proposes.

import { duration, el, showCommand, t, task } from "./common.js";
import { tr } from "./translate.js";

const $ = (id) => document.getElementById(id);
let current = null;

/** Examines a set of pictures, and shows what was found. */
export async function examine(set) {
  current?.cancel();
  rememberName(set);
  $("checkup").hidden = false;
  $("checkup-name").textContent = set.name;
  $("checkup-result").replaceChildren();
  const bar = el("progress", { max: 1, "aria-label": t("Examining the pictures") });
  const line = el("span", { class: "small soft" }, t("Examining the pictures"));
  $("checkup-work").replaceChildren(bar, line);
  $("checkup").scrollIntoView({ behavior: "smooth", block: "start" });
  const work = task("checkup", { pictures: set.id, minutes: 10 }, (one) => {
    if (one.progress > 0) bar.value = one.progress;
    line.textContent = [t("Examining the pictures"), one.left ? t("{time} left", { time: duration(one.left) }) : ""].filter(Boolean).join(", ");
  });
  current = work;
  try {
    const done = await work;
    if (current === work) show(set, done);
  } catch (error) {
    if (current === work) $("checkup-work").replaceChildren(el("p", { class: "notice error" }, error.message));
  }
}

function show(set, done) {
  const { facts, findings, proposal } = done.result;
  showCommand(done.command);
  $("checkup-work").replaceChildren();
  const found = findings.map((one) => el("div", { class: `finding notice ${one.serious ? "" : "fine"}` },
    el("p", {}, tr(one.text)),
    one.pictures.length ? el("div", { class: "thumbs" }, one.pictures.map((name) => el("img", { class: "pixels", src: done.files[name], alt: tr(one.kind) }))) : null));
  if (!found.length) found.push(el("p", { class: "notice fine" }, t("No problems: these pictures are ready to learn from.")));
  const next = el("p", {}, el("a", { class: "button primary big", href: `/train?${new URLSearchParams({ set: set.id })}` }, t("Train with these pictures")));
  $("checkup-result").replaceChildren(
    el("div", { class: "columns even" },
      el("div", { class: "stack" }, el("div", {}, found), el("h3", {}, t("It proposes")), list(proposal.why), next),
      el("div", { class: "stack" }, el("img", { class: "sample pixels", src: done.files["sheet.png"], alt: t("Pictures as training would see them") }), list(facts))),
  );
}

function list(facts) {
  return el("dl", { class: "facts" }, facts.flatMap(([name, value]) => [el("dt", {}, factName(name)), el("dd", {}, tr(value))]));
}

/** The name of a fact in the language of the page. */
export function factName(name) {
  const minutes = /^in (.+) minutes?$/.exec(name);
  if (minutes) return t("in {n} minutes", { n: minutes[1] });
  const known = {
    pictures: t("pictures"), formats: t("formats"), modes: t("modes"), ignored: t("ignored"), sizes: t("sizes"),
    "no class": t("no class"), classes: t("classes"), balance: t("balance"), size: t("size"), channels: t("channels"),
    preset: t("recipe"), "held out": t("held out"), speed: t("speed"), "usable samples": t("usable samples"),
    memory: t("memory"), disk: t("disk"),
  };
  return known[name] ?? name;
}

function rememberName(set) {
  try {
    const names = JSON.parse(sessionStorage.getItem("set-names") ?? "{}");
    sessionStorage.setItem("set-names", JSON.stringify({ ...names, [set.id]: set.name }));
  } catch { /* the page Train then says "the chosen folder" */ }
}

