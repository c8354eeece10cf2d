// The doctor's findings on a set of pictures, with thumbnails, and what it proposes.

import { duration, el, showCommand, t, task } from "./common.js";

const $ = (id) => document.getElementById(id);
let current = null;

/** Examines a set of pictures, and shows what was found. */
export async function examine(set) {
  current?.cancel();
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
    el("p", {}, one.text),
    one.pictures.length ? el("div", { class: "thumbs" }, one.pictures.map((name) => el("img", { class: "pixels", src: done.files[name], alt: one.kind }))) : null));
  if (!found.length) found.push(el("p", { class: "notice fine" }, t("No problems: these pictures are ready to learn from.")));
  const next = el("p", {}, el("a", { class: "button primary big", href: `/train?${new URLSearchParams({ set: set.id })}` }, t("Train with these pictures")));
  $("checkup-result").replaceChildren(
    el("div", { class: "columns even" },
      el("div", { class: "stack" }, el("div", {}, found), el("h3", {}, t("It proposes")), list(proposal.why), next),
      el("div", { class: "stack" }, el("img", { class: "sample pixels", src: done.files["sheet.png"], alt: t("Pictures as training would see them") }), list(facts))),
  );
}

function list(facts) {
  return el("dl", { class: "facts" }, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

