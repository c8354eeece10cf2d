// A place to drop files and folders on, and buttons that choose them.

/** Calls `receive(files, folder)` with all files that are dropped or chosen; `folder` is a dropped folder's name. */
export function wireDropping(drop, inputs, receive) {
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files]; // before the first wait, after which they are gone
    const files = entries.length ? (await Promise.all(entries.map(filesOf))).flat() : plain;
    receive(files, entries.length === 1 && entries[0].isDirectory ? entries[0].name : "");
  });
  for (const input of inputs) {
    input.addEventListener("change", async () => {
      const files = [...input.files];
      await receive(files, (files[0]?.webkitRelativePath ?? "").split("/").slice(0, -1)[0] ?? "");
      input.value = ""; // the same files can be chosen again
    });
  }
  // What is dropped beside the place must not replace the page.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
}

async function filesOf(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [await new Promise((done, fail) => { entry.file(done, fail); })];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a browser tells some hundred entries at a time
    const some = await new Promise((done, fail) => { reader.readEntries(done, fail); });
    if (!some.length) return found;
    for (const one of some) found.push(...await filesOf(one));
  }
}
