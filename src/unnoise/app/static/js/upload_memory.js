// What this browser remembers of uploads, so that the same files, chosen again, go on where they stopped.

const PLACE = "unnoise-uploads";
const LATER = 500;
const records = read();
let timer = null;

function read() {
  try {
    return JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  } catch {
    return {};
  }
}

function write() {
  clearTimeout(timer);
  timer = null;
  try {
    localStorage.setItem(PLACE, JSON.stringify(records));
  } catch { /* without a place to remember, an interrupted upload begins anew */ }
}

/** What a file is known by when it is chosen again. */
export const keyOf = (file) => `${file.webkitRelativePath || file.name}|${file.size}|${file.lastModified}`;

/** What is known of the upload into a set: files that are done, and those that have begun, with their ids. */
export function remembered(name) {
  return records[name] ?? { done: [], open: {}, folder: null, file: null };
}

/** Remembers how far an upload is; written at most twice a second. */
export function remember(name, memory) {
  records[name] = memory;
  timer ??= setTimeout(write, LATER);
}

/** Forgets an upload that has ended. */
export function forget(name) {
  delete records[name];
  write();
}

/** The names of sets whose uploads were interrupted. */
export const interrupted = () => Object.keys(records);

addEventListener("pagehide", write);
