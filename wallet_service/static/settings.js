// Sessions, what the wallet looks like, and its end.

import { app, close, route, views } from "./app.js";
import { listed } from "./faces.js";
import { $, busy, day, fill, onClick, said, save, show } from "./page.js";
import { call } from "./wallet.js";

const words = (code) => said("session-words", code);

function row(each) {
  const since = new Date(each.started_at * 1000);
  const style = { dateStyle: "medium", timeStyle: "short" };
  const name = words(each.this_one ? "here" : "elsewhere");
  const state = `${words("since")} ${since.toLocaleString(document.documentElement.lang, style)}`;
  const made = fill("session", { name, state });
  if (!each.this_one) {
    const act = made.querySelector(".act");
    act.append($("end-button").content.cloneNode(true));
    const button = act.querySelector("button");
    button.setAttribute("aria-label", `${button.textContent}: ${listed(name, state)}`);
    button.addEventListener("click", () =>
      busy(async () => {
        await call("DELETE", `/sessions/${each.id}`);
        await enter();
      }),
    );
  }
  return made;
}

async function enter() {
  const { sessions } = await call("GET", "/sessions");
  sessions.sort((one, other) => other.this_one - one.this_one);
  $("session-list").replaceChildren(...sessions.map(row));
  $("install").hidden = app.install === undefined;
  show("settings");
}

onClick("close-here", close);
onClick("install-app", async () => {
  await app.install.prompt();
  app.install = undefined;
  $("install").hidden = true;
});

// -- Goodbye -------------------------------------------------------------------------------------

$("leave").addEventListener("click", () => show("leaving"));
$("leave-not").addEventListener("click", () => route());

onClick("leave-now", async () => {
  const receipt = await app.wallet.leave();
  $("left-when").textContent = day(Date.now() / 1000);
  $("left-version").textContent = receipt.wallet_version;
  $("left-head").textContent = receipt.log_head;
  show("left");
});

$("save-receipt").addEventListener("click", () => {
  const rows = [...document.querySelectorAll("#left dt")].map(
    (each) => `${each.textContent}: ${each.nextElementSibling.textContent}`,
  );
  save("citizen-wallet-receipt.txt", [location.origin, ...rows, ""].join("\n"));
});

views.register("settings", { enter });
