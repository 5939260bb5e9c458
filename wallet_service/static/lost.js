// A lost device: the revocation code blocks its wallet from here. Only what is derived from it is sent.

import { $, onSubmit, show } from "./page.js";
import { Refused, call, lookupOf } from "./wallet.js";

onSubmit(
  "lost-form",
  async () => {
    try {
      await call("POST", "/revoke", { lookup: await lookupOf($("typed-code").value) });
    } catch (error) {
      throw error.code === "not_found" ? new Refused("unknown_code") : error;
    }
    $("typed-code").value = "";
    show("blocked");
  },
  () => show("lost"),
);

show("lost");
