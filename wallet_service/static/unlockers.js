// What opens the wallet: the passkeys and the recovery code; one more, one less.

import { app, route, views } from "./app.js";
import { listed } from "./faces.js";
import { $, day, fill, onClick, said, show } from "./page.js";
import { call } from "./wallet.js";

let prepared; // a new passkey that is not approved yet
let chosen; // the one to be struck off

const words = (code) => said("unlocker-words", code);

// The log knows when each came; of the first one it knows nothing, as there was no other.
async function arrivals() {
  const { entries } = await call("GET", "/log");
  const came = entries.filter((each) => ["unlocker_added", "recovered"].includes(each.type));
  return new Map(came.map((each) => [each.body?.unlocker, each.time]));
}

function row(each, came, { proven, passkeys }) {
  const when = came.get(each.id);
  const states = {
    recovery: [words(proven ? "proven" : "unproven")],
    passkey: [
      when === undefined ? words("first") : `${words("added")} ${day(when)}`,
      each.this_one ? words("this_one") : "",
    ],
  }[each.kind];
  const shown = states.filter(Boolean).join(" · ");
  const made = fill("unlocker", { name: words(each.kind), state: shown });
  const act = made.querySelector(".act");
  if (each.kind === "recovery" && !proven) {
    act.append($("prove-link").content.cloneNode(true));
  } else if (each.kind === "passkey" && passkeys > 1) {
    act.append($("strike-button").content.cloneNode(true));
    const button = act.querySelector("button");
    button.setAttribute("aria-label", `${button.textContent}: ${listed(words(each.kind), shown)}`);
    button.addEventListener("click", () => {
      chosen = each.id;
      $("struck-name").textContent = listed(words(each.kind), shown);
      show("strike-off");
    });
  }
  return made;
}

async function enter() {
  const { unlockers, notices } = await app.wallet.overview();
  const came = await arrivals();
  const passkeys = unlockers.filter((each) => each.kind === "passkey").length;
  const proven = !notices.some((each) => each.code === "second_unlocker_needed");
  $("only-one").hidden = passkeys > 1;
  $("unlocker-list").replaceChildren(
    ...unlockers
      .sort((one, other) => (came.get(one.id) ?? 0) - (came.get(other.id) ?? 0))
      .sort((one, other) => one.kind.localeCompare(other.kind)) // passkeys first, by age
      .map((each) => row(each, came, { proven, passkeys })),
  );
  show("unlockers");
}

onClick("add-passkey", async () => {
  prepared = await app.wallet.preparePasskey();
  show("approve-passkey");
});

onClick("approve-new", async () => {
  await app.wallet.approvePasskey(prepared);
  await enter();
});

onClick("strike", async () => {
  await app.wallet.strikeOff(chosen);
  await enter();
});

for (const id of ["approve-not", "strike-not"]) $(id).addEventListener("click", () => route());

function leave() {
  prepared = undefined;
  chosen = undefined;
}

views.register("unlockers", { enter, leave });
