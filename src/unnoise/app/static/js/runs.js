// The list of runs: cards, the queue, paging, and choosing some to compare.

import { api, busy, data, duration, el, number, pause, stateWord, t } from "./common.js";

const $ = (id) => document.getElementById(id);
const chosen = new Set();

function card(run) {
  const address = `/run/${run.id}`;
  const image = run.picture
    ? el("a", { href: address, tabindex: -1, "aria-hidden": "true" }, el("img", { class: "pixels", src: run.picture, alt: "", loading: "lazy" }))
    : el("span", { class: "soft small" }, t("nothing drawn yet"));
  const about = [run.height ? `${run.height} × ${run.width}` : null, run.preset, run.budget].filter(Boolean).join(" · ");
  const tick = el("input", { type: "checkbox", onchange: (event) => choose(run.id, event.target.checked) });
  tick.checked = chosen.has(run.id);
  return el("li", { class: "card run-card", dataset: { id: run.id } },
    el("div", { class: "picture square" }, image),
    el("h2", {}, el("a", { href: address }, run.name)),
    el("p", {}, el("span", { class: `state ${run.state}` }, stateWord(run.state))),
    el("p", { class: "soft small" }, about || " "),
    el("p", { class: "soft small" }, run.held_out_loss === null ? t("trained for {time}", { time: duration(run.seconds) }) : t("held-out loss {loss}", { loss: number(run.held_out_loss) })),
    run.note ? el("p", { class: "small note" }, run.note) : null,
    el("label", { class: "check" }, tick, el("span", {}, t("Compare"), el("span", { class: "visually-hidden" }, ` ${run.name}`))),
  );
}

function choose(id, on) {
  if (on) chosen.add(id); else chosen.delete(id);
  $("compare").disabled = chosen.size < 2;
  $("chosen").textContent = chosen.size < 2 ? t("Tick two or more to compare them.") : t("{n} chosen", { n: chosen.size });
}

function showRuns(found) {
  $("runs").replaceChildren(...found.runs.map(card));
  $("none").hidden = found.total > 0;
  $("pages").hidden = found.pages < 2;
  const link = (page, text) => el("a", { class: "button", href: `/?${new URLSearchParams({ search: data.search, page })}` }, text);
  $("pages").replaceChildren(
    ...(found.page > 1 ? [link(found.page - 1, t("Newer"))] : []),
    el("span", {}, t("page {page} of {pages}", { page: found.page, pages: found.pages })),
    ...(found.page < found.pages ? [link(found.page + 1, t("Older"))] : []),
  );
}

function showQueue({ queue, held }) {
  $("queue").hidden = queue.length === 0;
  $("held").hidden = !held;
  const row = ({ id, name }) => {
    const leave = el("button", { type: "button", onclick: () => busy(leave, async () => { await api("POST", `/api/runs/${id}/cancel`, {}); await refresh(); }) }, t("Cancel"));
    return el("li", {}, el("a", { href: `/run/${id}` }, name), leave);
  };
  $("waiting").replaceChildren(...queue.map(row));
}

let told = "";

async function refresh() {
  const query = new URLSearchParams({ search: data.search, page: data.page });
  const [found, status] = await Promise.all([api("GET", `/api/runs?${query}`), api("GET", "/api/status")]);
  const text = JSON.stringify([found, status]);
  if (text === told) return;
  told = text;
  showRuns(found);
  showQueue(status);
}

async function watch() {
  for (;;) {
    if (!document.hidden) await refresh().catch(() => {});
    await pause(2000);
  }
}

if ($("runs")) {
  showRuns(data);
  $("compare").addEventListener("click", () => {
    location.href = `/compare?${[...chosen].map((id) => `run=${id}`).join("&")}`;
  });
  watch();
}
