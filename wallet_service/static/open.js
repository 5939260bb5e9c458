// Open the wallet by its passkey, or begin one; then on to what was wanted.

import { app, go, opened, route, views } from "./app.js";
import { $, onClick, show } from "./page.js";
import { Wallet } from "./wallet.js";

// What keeps a wallet closed is passkeys with PRF and X25519: whoever has neither is told so now.
async function able() {
  if (!isSecureContext || !globalThis.PublicKeyCredential) return false;
  try {
    await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
  } catch {
    return false;
  }
  const known = (await PublicKeyCredential.getClientCapabilities?.()) ?? {};
  return known["extension:prf"] !== false;
}

onClick("open", async () => {
  const wallet = await Wallet.open();
  const overview = await opened(wallet);
  const unproven = overview.notices.some((each) => each.code === "second_unlocker_needed");
  if (unproven && app.entry === "start") go("begin");
  else route();
});

onClick("begin", async () => {
  const { begin } = await import("./begin.js");
  await begin();
});

// What comes first to hand: opening where a wallet was open before, else beginning one.
async function enter() {
  const possible = await able();
  const known = Object.keys(localStorage).some((each) => each.startsWith("wallet/"));
  $("unable").hidden = possible;
  $("open").classList.toggle("main", possible && known);
  $("begin").classList.toggle("main", possible && !known);
  show("sign-in");
}

views.register("open", { closed: true, enter });
