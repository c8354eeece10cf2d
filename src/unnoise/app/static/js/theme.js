// The colour scheme, set before anything is drawn: as chosen, else as the system has it.
"use strict";
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const apply = () => { document.documentElement.dataset.theme = stored() ?? (system.matches ? "dark" : "light"); };
  system.addEventListener("change", apply);
  apply();
}
