// Sentences of the server in the language of the page, by patterns; see languages.py, which does the same.

const given = document.getElementById("patterns")?.textContent ?? "[]";
const patterns = JSON.parse(given).map(([pattern, translation]) => [new RegExp(`^(?:${pattern})$`, "s"), translation]);

/** A sentence of the server, by the first pattern that matches all of it; else as it is. */
export function tr(sentence) {
  if (typeof sentence !== "string") return sentence;
  for (const [pattern, translation] of patterns) {
    const found = pattern.exec(sentence);
    // $1 is what the first group matched, {1} the same once it is translated.
    if (found) return translation.replace(/\$([1-9])|\{([1-9])\}/g, (_, plain, told) => (plain ? found[plain] : tr(found[told])));
  }
  return sentence;
}
