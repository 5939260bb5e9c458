// The answer has gone out, or not: what happened, and where to look next.

import { end, go } from "./app.js";
import { USABLE } from "./faces.js";
import { $, busy, fill, onClick, said, show } from "./page.js";
import { call } from "./wallet.js";

// In the browser that was sent here the agency's address is followed, unchanged. On a phone that
// scanned a code it is offered: the citizen looks at the other screen. What is no web address stays
// unopened.
export function showDone(answer) {
  const place = answer.redirect_uri ?? "";
  const web = /^https?:\/\//i.test(place);
  if (web && answer.go_on === "website") {
    location.replace(place);
    return;
  }
  $("outcome").dataset.value = answer.outcome;
  $("outcome").textContent = said("outcomes", answer.outcome) ?? "";
  $("where-next").textContent = said("where-next-words", answer.go_on) ?? "";
  $("agency-page").hidden = !web;
  $("agency-page").href = web ? place : "";
  show("done");
}

onClick("done-to-wallet", async () => end());

// -- Not accepted: is it the document? -------------------------------------------------------------

const REPLACED = new Set(["revoked", "expired"]); // a suspension is lifted, or not

function refusedRow(card) {
  const row = fill("refused-card", card);
  row.querySelector("a").href = `#card/${card.id}`;
  const press = row.querySelector(".get-new");
  press.hidden = !REPLACED.has(card.badge);
  press.setAttribute("aria-label", `${press.textContent}: ${card.name}`);
  press.addEventListener("click", () =>
    busy(async () => {
      const flow = await call("POST", `/credentials/${card.id}/renewal`);
      if (flow.step === "stored") end("card", card.id);
      else go("receive", flow.id);
    }, () => show("card-refused")),
  );
  return row;
}

// The agency does not say why. The wallet looks at the states of all its documents, as it does
// whenever they are shown; returns whether one of those that went out does not count.
export async function blameCards(wallet, ids) {
  await call("POST", "/wallet/refresh");
  const { cards } = await wallet.overview();
  const bad = cards.filter((each) => ids.has(each.id) && !USABLE.has(each.badge));
  $("refused-cards").replaceChildren(...bad.map(refusedRow));
  if (bad.length > 0) show("card-refused");
  return bad.length > 0;
}

onClick("refused-to-wallet", async () => end());
