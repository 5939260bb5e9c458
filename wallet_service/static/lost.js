// A lost device: the revocation code blocks its wallet from here. Only what is derived from it is sent.

import { $, onSubmit, show } from "./page.js";
import { lookupOf } from "./vault.js";
import { Refused, call } from "./wallet.js";

onSubmit(
  "lost-form",
  async () => {
    let lookup;
    try {
      lookup = await lookupOf($("typed-code").value);
    } catch {
      throw new Refused("not_a_code");
    }
    await call("POST", "/revoke", { lookup });
    show("blocked");
  },
  () => show("lost"),
);

show("lost");
