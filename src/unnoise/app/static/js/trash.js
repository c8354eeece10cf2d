// The trash: bring runs back, or delete them for good after a question.

import { api, busy } from "./common.js";

for (const button of document.querySelectorAll("[data-restore]")) {
  button.addEventListener("click", () => busy(button, async () => {
    const { id } = await api("POST", `/api/runs/${button.dataset.restore}/restore`, {});
    location.href = `/run/${id}`;
  }));
}

const sure = document.getElementById("sure");
document.getElementById("empty")?.addEventListener("click", () => sure.showModal());
sure?.addEventListener("close", async () => {
  if (sure.returnValue !== "yes") return;
  await busy(document.getElementById("empty"), () => api("POST", "/api/trash/empty", {}));
  location.reload();
});
