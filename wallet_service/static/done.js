// The answer has gone out, or not: what happened, and where to look next.

import { end } from "./app.js";
import { $, onClick, said, show } from "./page.js";

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
