// Open the wallet by its passkey, or begin one; then on to what was wanted.

import { app, go, opened, route, views } from "./app.js";
import { onClick, show } from "./page.js";
import { Wallet } from "./wallet.js";

onClick("open", async () => {
  const wallet = await Wallet.open();
  const overview = await wallet.overview();
  await opened(wallet, overview);
  const unproven = overview.notices.some((each) => each.code === "second_unlocker_needed");
  if (unproven && app.entry === "start") go("begin", "prove");
  else route();
});

onClick("begin", async () => {
  const { begin } = await import("./begin.js");
  await begin();
});

views.register("open", { closed: true, enter: () => show("sign-in") });
