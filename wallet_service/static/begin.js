// A new wallet: its passkey, its two codes, the proof that the recovery code was kept.

import { app, end, opened, route, views } from "./app.js";
import { $, announce, onClick, onSubmit, said, save, show } from "./page.js";
import { Wallet } from "./wallet.js";

let begun = false; // here and now: its codes can still be shown

export async function begin() {
  const { opened: wallet, codes } = await Wallet.begin(document.documentElement.lang);
  begun = true;
  $("recovery-code").textContent = codes.recovery;
  $("revocation-code").textContent = codes.revocation;
  await opened(wallet);
  show("codes");
}

function forget() {
  begun = false;
  $("recovery-code").textContent = "";
  $("revocation-code").textContent = "";
  $("typed-code").value = "";
}

function sheet() {
  const texts = ["recovery-name", "recovery-code", "revocation-name", "revocation-code"];
  const lines = texts.map((each) => $(each).textContent);
  return [document.title, location.origin, "", ...lines, "", $("codes-warning").textContent, ""].join("\n");
}

$("print-codes").addEventListener("click", () => print());
$("save-codes").addEventListener("click", () => save("citizen-wallet-codes.txt", sheet()));
onClick("copy-codes", async () => {
  await navigator.clipboard.writeText(sheet());
  announce(said("code-words", "copied"));
});

function askBack() {
  $("show-codes").hidden = !begun;
  $("prove-otherwise").hidden = begun;
  show("prove");
}

$("written").addEventListener("click", askBack);
$("show-codes").addEventListener("click", () => show("codes"));

onSubmit(
  "prove-form",
  async () => {
    await app.wallet.proveRecovery($("typed-code").value);
    forget();
    if (location.hash) end();
    else route(); // on to what led here
  },
  askBack,
);

views.register("begin", { enter: askBack, leave: forget });
