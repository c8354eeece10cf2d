// What the pages that draw share: a bar for tasks, downloads, pictures loaded ahead, and a slider that plays.

import { busy, data, duration, el, pause, say, t, task } from "./common.js";

/** A bar that says what is being done and how long it still takes; its room is kept while nothing is. */
export function progressBar(cancel) {
  const meter = el("progress", { max: 1, value: 0, "aria-label": t("Progress") });
  const words = el("span", { class: "small soft", role: "status" });
  const stop = el("button", { type: "button", class: "quiet" }, t("Cancel"));
  stop.addEventListener("click", () => {
    stop.disabled = true; // the task ends at its next step
    words.textContent = t("Cancelling …");
    cancel();
  });
  const line = el("div", { class: "work-line" }, words, cancel ? stop : null);
  const element = el("div", { class: "work idle" }, meter, line);
  return {
    element,
    /** Shows a state of a task, as `task` hands it on. */
    show(found = {}) {
      element.classList.remove("idle");
      meter.value = found.progress ?? 0;
      if (!stop.disabled) words.textContent = sentence(found);
    },
    hide() {
      element.classList.add("idle");
      words.textContent = "";
      stop.disabled = false;
    },
  };
}

function sentence(found) {
  if (found.state === "waiting") return t("Waiting for its turn …");
  const share = Math.round(100 * (found.progress ?? 0));
  if (Number.isFinite(found.left ?? NaN)) {
    return t("{share} %, {left} left", { share, left: duration(found.left) });
  }
  return t("Working …");
}

/** A name for a file of this run. */
export const fileName = (what, format) => `${data.run.folder}-${what}.${format}`;

/** Buttons that make a file of what a task drew, and hand it to the browser. */
export function downloads(done, formats) {
  const titles = { png: t("PNG"), gif: t("GIF"), mp4: t("MP4"), npz: t("npz") };
  const buttons = formats.map((format) => {
    const button = el("button", { type: "button", class: "small-button", dataset: { format } }, titles[format]);
    button.addEventListener("click", () => busy(button, () => download(done, format)));
    return button;
  });
  const label = el("span", { class: "small soft" }, t("Download:"));
  return el("div", { class: "row downloads", role: "group", "aria-label": t("Download") }, label, buttons);
}

async function download(done, format) {
  const saved = await task("save", { task: done.id, format });
  const seed = done.words.seed ?? "";
  const link = el("a", { href: Object.values(saved.files)[0], download: fileName(`${done.kind}${seed}`, format) });
  document.body.append(link);
  link.click();
  link.remove();
}

/**
 * Loads pictures ahead, a few at a time and slowly after the first hundred, since the server bounds requests.
 * Says how many have come; returns a function that ends it.
 */
export function preload(urls, onCount = () => {}) {
  const kept = []; // the browser may forget pictures that nobody holds
  let next = 0;
  let ended = false;
  const one = async () => {
    while (next < urls.length && !ended) {
      const place = next++;
      if (place > 100) await pause(120);
      kept.push(await loaded(urls[place]));
      if (!ended) onCount(kept.length);
    }
  };
  for (let worker = 0; worker < 4; worker++) one();
  return () => { ended = true; };
}

/** An image that has arrived and is decoded; tried again where the server is busy. */
export async function loaded(url, tries = 4) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    if (tries > 0) {
      await pause(700);
      return loaded(url, tries - 1);
    }
  }
  return image;
}

/** A slider over frames with a button that plays them; `onFrame` shows one. */
export function player(label, onFrame, { loops = false, seconds = 4 } = {}) {
  const slider = el("input", { type: "range", min: 0, max: 1, step: 1, value: 0, "aria-label": label });
  const button = el("button", { type: "button", class: "play", "aria-pressed": "false" }, t("Play it"));
  const element = el("div", { class: "player" }, button, slider);
  const state = { frames: 2, timer: null };
  const stop = () => {
    clearInterval(state.timer);
    state.timer = null;
    button.textContent = t("Play it");
    button.setAttribute("aria-pressed", "false");
  };
  const go = (frame) => {
    slider.value = frame;
    onFrame(Number(slider.value));
  };
  const step = () => {
    const frame = Number(slider.value) + 1;
    if (frame < state.frames) go(frame);
    else if (loops) go(0);
    else stop();
  };
  const play = () => {
    if (state.timer) { stop(); return; }
    if (!loops && Number(slider.value) >= state.frames - 1) go(0);
    state.timer = setInterval(step, Math.max(30, Math.min(400, (1000 * seconds) / state.frames)));
    button.textContent = t("Pause");
    button.setAttribute("aria-pressed", "true");
  };
  button.addEventListener("click", play);
  slider.addEventListener("input", () => { stop(); onFrame(Number(slider.value)); });
  const reset = (frames, frame) => {
    stop();
    state.frames = frames;
    slider.max = Math.max(1, frames - 1);
    go(frame);
  };
  const enable = (on) => { slider.disabled = button.disabled = !on; };
  const move = (by) => { stop(); go(Math.max(0, Math.min(state.frames - 1, Number(slider.value) + by))); };
  return { element, slider, button, play, stop, reset, enable, move };
}

/** A seed nobody has thought of, small enough to be read out. */
export const newSeed = () => Math.floor(Math.random() * 100000);

/** The number in a field; null where it is empty. */
export function valueOf(field) {
  return field && field.value.trim() !== "" ? Number(field.value) : null;
}

/** Follows only the latest wish: while one is worked on, later ones replace each other. */
export function latest(work) {
  let wish = null;
  let works = false;
  return async (given) => {
    wish = { given };
    if (works) return;
    works = true;
    while (wish) {
      const now = wish.given;
      wish = null;
      try {
        await work(now);
      } catch (error) {
        say(error.message, "error");
      }
    }
    works = false;
  };
}
