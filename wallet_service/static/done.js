// The answer has gone out, or not: what happened, and where to look next.

import { $, said, show } from "./page.js";

// The agency's address goes to the browser unchanged; what is no web address stays unopened.
export function showDone(answer) {
  const place = answer.redirect_uri;
  if (place && /^https?:\/\//i.test(place)) {
    location.replace(place);
    return;
  }
  $("outcome").textContent = said("outcomes", answer.outcome) ?? "";
  $("elsewhere").hidden = !place;
  show("done");
}
