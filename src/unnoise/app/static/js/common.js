// What all pages share: words, requests, tasks, the live stream, messages, and the switches of the header.

import { tr } from "./translate.js";

export const data = JSON.parse(document.getElementById("data").textContent);
const words = JSON.parse(document.getElementById("words").textContent);

/** A text in the language of the page; `{name}` is filled in from values. */
export function t(text, values = {}) {
  return Object.entries(values).reduce((found, [name, value]) => found.replaceAll(`{${name}}`, value), words[text] ?? text);
}

/** The answer to a request, as JSON; throws an Error with the server's sentence, and its `status` if it answered. */
export async function api(method, path, body) {
  const headers = { "X-Unnoise": "1" };
  let sent = body;
  if (body !== undefined && !(body instanceof Blob)) {
    headers["Content-Type"] = "application/json";
    sent = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, { method, headers, body: sent });
  } catch {
    lost(true);
    throw new Error(t("The app does not answer. Is it still running? This page goes on by itself as soon as it is back."));
  }
  lost(false);
  const found = await response.json().catch(() => ({}));
  const { ok, status } = response;
  if (!ok) throw Object.assign(new Error(tr(found.error) ?? t("The app answered with the number {status}.", { status })), { status });
  return found;
}

/** An element; attributes that start with "on" listen, "class" and "dataset" are what they are. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Asks for a task and waits until it is done; `onProgress` hears of each change. The promise has `cancel()`. */
export function task(kind, given, onProgress = () => {}) {
  let number = null;
  let cancelled = false;
  const work = async () => {
    number = (await api("POST", "/api/tasks", { kind, ...given })).id;
    if (cancelled) await api("DELETE", `/api/tasks/${number}`).catch(() => {});
    return finished(number, onProgress);
  };
  const promise = work();
  promise.cancel = () => {
    cancelled = true;
    if (number) api("DELETE", `/api/tasks/${number}`).catch(() => {});
  };
  return promise;
}

/** Waits until a task that was asked for is done, also across a server that was started again. */
export async function finished(number, onProgress = () => {}) {
  const began = performance.now();
  for (;;) {
    let found;
    try {
      found = await api("GET", `/api/tasks/${number}?wait=10`);
    } catch (error) {
      if (document.getElementById("lost").hidden) throw error;
      await pause(1000);
      continue;
    }
    if (found.state === "failed") throw new Error(tr(found.error));
    const took = (performance.now() - began) / 1000;
    onProgress({ ...found, left: found.progress > 0.05 ? (took * (1 - found.progress)) / found.progress : null });
    if (found.state === "done") return found;
  }
}

export const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

/** Listens to a stream of JSON; says so where it is lost, and goes on when it is back. */
export function live(path, onData) {
  const source = new EventSource(path);
  source.onmessage = (event) => { lost(false); onData(JSON.parse(event.data)); };
  source.onopen = () => lost(false);
  source.onerror = () => {
    lost(true);
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => { live(path, onData); }, 2000);
    }
  };
  addEventListener("pagehide", () => source.close());
  return source;
}

function lost(is) {
  document.getElementById("lost").hidden = !is;
}

/** Says a sentence in a corner, and to screen readers. */
export function say(text, kind = "") {
  const toast = el("div", { class: `toast ${kind}` }, text);
  document.getElementById("says").append(toast);
  setTimeout(() => toast.remove(), kind === "error" ? 12000 : 5000);
}

/** Runs what a button does, with the button off meanwhile; an error becomes a message. */
export async function busy(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    say(error.message, "error");
    return null;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/** 45 s, 14 min, 3 h 20 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 90) return t("{n} s", { n: Math.max(0, Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return t("{n} min", { n: minutes });
  return t("{h} h {m} min", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** A number as people read it: 12,345, 0.1234, 1.2e-5. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 0.001 ? value.toLocaleString("en", { maximumSignificantDigits: digits }) : value.toExponential(2);
}

/** The word for a state of a run. */
export function stateWord(state) {
  return {
    waiting: t("waiting"),
    preparing: t("preparing"),
    training: t("training"),
    stopping: t("saving"),
    paused: t("paused"),
    stopped: t("stopped"),
    finished: t("finished"),
    failed: t("failed"),
    crashed: t("ended unexpectedly"),
    untrained: t("untrained"),
  }[state] ?? state;
}

/** Shows the command that does the same in a terminal. */
export function showCommand(text) {
  if (text) document.getElementById("command").textContent = text;
}

function switches() {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it is kept for this page only */ }
  });
  const language = document.getElementById("language");
  const address = new URL(location.href);
  address.searchParams.set("language", language.hreflang);
  language.href = address.pathname + address.search;
  document.getElementById("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("command").textContent);
    say(t("Copied."));
  });
}

switches();
