// The wallet as a file to take elsewhere: approved by passkey, sealed here under a code.

import { app, views } from "./app.js";
import { $, announce, onClick, said, save, show } from "./page.js";

let file;

onClick("make-export", async () => {
  const { sealed } = await import("./portable.js");
  const made = await sealed(await app.wallet.export());
  file = made.file;
  $("export-code").textContent = made.code;
  $("export-saved").hidden = true;
  show("exported");
});

onClick("save-export", async () => {
  save(`citizen-wallet-export-${new Date().toISOString().slice(0, 10)}.jwe`, file);
  $("export-saved").hidden = false;
});
$("print-export").addEventListener("click", () => print());
onClick("copy-export", async () => {
  await navigator.clipboard.writeText($("export-code").textContent);
  announce(said("code-words", "copied"));
});

function leave() {
  file = undefined;
  $("export-code").textContent = "";
}

views.register("export", { enter: () => show("export"), leave });
