// The recovery code on a new device: a waiting period, then a new passkey.

import { opened, views } from "./app.js";
import { $, onClick, onSubmit, show } from "./page.js";
import { Refused, beginRecovery, finishRecovery, openRecovery } from "./wallet.js";

let ready; // the code and what it opened

async function waited(code) {
  try {
    const until = await beginRecovery(code);
    const style = { dateStyle: "full", timeStyle: "short" };
    $("recover-when").textContent = until.toLocaleString(document.documentElement.lang, style);
    ready = await openRecovery(code);
    return true;
  } catch (error) {
    if (error instanceof Refused && error.code === "recovery_waiting") return false;
    if (error instanceof Refused && error.code === "not_found") throw new Refused("unknown_code");
    throw error;
  }
}

onSubmit("recover-form", async () => {
  const over = await waited($("recover-code").value);
  $("recover-code").value = "";
  show(over ? "recover-passkey" : "recover-waiting");
});

onClick("recover-finish", async () => {
  await opened(await finishRecovery(ready));
  ready = undefined;
  show("recovered");
});

function leave() {
  ready = undefined;
  $("recover-code").value = "";
}

views.register("recover", { closed: true, enter: () => show("recover"), leave });
