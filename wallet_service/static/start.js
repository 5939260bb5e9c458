// The first page: open a wallet, or begin one and keep its codes.

import { $, busy, fill, onClick, onSubmit, show } from "./page.js";
import { Wallet, call } from "./wallet.js";

let opened;

async function showWallet() {
  const { cards, notices } = await opened.overview();
  if (notices.some((each) => each.code === "second_unlocker_needed")) {
    show("prove");
    return;
  }
  $("cards").replaceChildren(...cards.map((each) => fill("card", each)));
  $("no-cards").hidden = cards.length > 0;
  show("wallet");
}

onClick("open", async () => {
  opened = await Wallet.open();
  await showWallet();
});

onClick("begin", async () => {
  const begun = await Wallet.begin(document.documentElement.lang);
  opened = begun.opened;
  $("recovery-code").textContent = begun.codes.recovery;
  $("revocation-code").textContent = begun.codes.revocation;
  show("codes");
});

$("written").addEventListener("click", () => {
  $("recovery-code").textContent = "";
  $("revocation-code").textContent = "";
  show("prove");
});

onSubmit(
  "prove-form",
  async () => {
    await opened.proveRecovery($("typed-code").value);
    await showWallet();
  },
  () => show("prove"),
);

onClick("close", async () => {
  await call("DELETE", "/sessions/current");
  location.reload();
});

busy(async () => show("sign-in"));
