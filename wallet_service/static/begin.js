// A new wallet: its passkey, its two codes, the proof that the recovery code was kept.

import { app, end, opened, route, views } from "./app.js";
import { $, onClick, onSubmit, show } from "./page.js";
import { Wallet } from "./wallet.js";

export async function begin() {
  const begun = await Wallet.begin(document.documentElement.lang);
  await opened(begun.opened, await begun.opened.overview());
  $("recovery-code").textContent = begun.codes.recovery;
  $("revocation-code").textContent = begun.codes.revocation;
  show("codes");
}

function forget() {
  $("recovery-code").textContent = "";
  $("revocation-code").textContent = "";
}

$("written").addEventListener("click", () => {
  forget();
  show("prove");
});

onSubmit(
  "prove-form",
  async () => {
    await app.wallet.proveRecovery($("typed-code").value);
    $("typed-code").value = "";
    if (location.hash) end();
    else route(); // on to the offer that led here
  },
  () => show("prove"),
);

views.register("begin", { enter: () => show("prove"), leave: forget });
