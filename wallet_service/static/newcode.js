// A new recovery or revocation code: shown once, typed back, and only then by approval in the place of
// the old one. Whoever leaves before that keeps the old one.

import { app, go, views } from "./app.js";
import { $, announce, onClick, onSubmit, said, save, show, wrong } from "./page.js";
import { makeCode, sameCode } from "./vault.js";

let kind;
let made;

const words = (code) => said("new-code-words", `${kind}/${code}`);

function sheet() {
  const lines = ["new-code-name", "fresh-code", "new-code-warning"].map((each) => $(each).textContent);
  return [document.title, location.origin, "", ...lines, ""].join("\n");
}

// What is typed back comes from where it was written down, not from the screen.
function cover(covered) {
  $("new-code").classList.toggle("is-covered", covered);
  $("new-covered").hidden = !covered;
  $("show-new").hidden = !covered;
}

function forget() {
  made = undefined;
  $("fresh-code").textContent = "";
  $("retyped").value = "";
  wrong("retyped");
  cover(false);
}

function enter(wanted) {
  forget();
  kind = wanted === "revocation" ? wanted : "recovery";
  made = makeCode();
  $("fresh-code").textContent = made;
  $("new-code-title").textContent = words("title");
  $("new-code-name").textContent = words("name");
  $("retype-label").textContent = words("label");
  $("code-replaced-title").textContent = words("done");
  show("new-code");
}

$("print-new").addEventListener("click", () => print());
$("save-new").addEventListener("click", () => save(`citizen-wallet-${kind}-code.txt`, sheet()));
onClick("copy-new", async () => {
  await navigator.clipboard.writeText(sheet());
  announce(said("code-words", "copied"));
});
$("retyped").addEventListener("input", () => cover(true));
$("show-new").addEventListener("click", () => {
  cover(false);
  show("new-code");
});

onSubmit(
  "retype-form",
  async () => {
    const typed = $("retyped").value;
    if (!sameCode(typed, made)) {
      wrong("retyped", said("new-code-words", "other"));
      return;
    }
    await app.wallet.replaceCode(kind, typed);
    forget();
    show("code-replaced");
  },
  () => (made ? show("new-code") : go("unlockers")),
);

views.register("newcode", { enter, leave: forget });
