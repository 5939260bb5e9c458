// An agency offers a document: preview, code or sign-in there, one gesture, the content, kept or not.
// The same view takes the browser back from the agency (/callback): first the answer is handed to the
// session that began it, and only then anything else happens.

import { app, opened, views } from "./app.js";
import { $, busy, claimShown, fill, onClick, onSubmit, said, show } from "./page.js";
import { Refused, Wallet, call } from "./wallet.js";

let flow;

const act = (name, body) => call("POST", `/issuances/${flow.id}/${name}`, body);

async function go(changed) {
  flow = await changed;
  for (const each of document.querySelectorAll(".issuer")) {
    each.textContent = flow.issuer?.name ?? "";
  }
  switch (flow.step) {
    case "sign_in":
    case "authorizing":
    case "redeeming":
      $("came-back").hidden = flow.reason === undefined;
      show("agency-sign-in");
      break;
    case "tx_code":
      $("tx-code-hint").textContent = flow.tx_code.description ?? "";
      $("typed-tx-code").inputMode = flow.tx_code.input_mode === "text" ? "text" : "numeric";
      show("tx-code");
      break;
    case "preview":
    case "accepted":
      $("offered").replaceChildren(...flow.documents.map((each) => fill("document", each)));
      show("preview");
      break;
    case "requesting":
      await go(act("resume"));
      break;
    case "deferred":
      show("deferred");
      break;
    case "review":
      $("content-of-cards").replaceChildren(...flow.content.map(card));
      show("review");
      break;
    default:
      $("offer-outcome").textContent = said("offer-outcomes", flow.step) ?? flow.step;
      show("ended");
  }
}

function card(received) {
  const row = fill("received", received);
  row.querySelector(".claims").append(...received.claims.map(claimShown));
  return row;
}

// What is approved: this agency, and no other documents than those shown.
function expected(payload) {
  const offered = (item) =>
    flow.documents.some(
      (each) => each.format === item.format && Object.values(item.name).includes(each.name),
    );
  return (
    payload.type === "accept" &&
    payload.flow === flow.id &&
    payload.issuer.identifier === flow.issuer.identifier &&
    payload.items.every(offered)
  );
}

const again = () => busy(() => go(call("GET", `/issuances/${flow.id}`)));

onSubmit("tx-code-form", () => go(act("tx-code", { tx_code: $("typed-tx-code").value })), again);
onClick("collect", () => go(act("collect")), again);
onClick("keep", () => go(act("keep")), again);
onClick("discard", () => go(act("discard")), again);
for (const each of document.querySelectorAll(".refuse")) {
  each.addEventListener("click", () => busy(() => go(act("refuse")), again));
}

onClick(
  "authorize",
  async () => {
    location.assign((await act("authorize")).authorize_url);
  },
  again,
);

onClick(
  "accept",
  async () => {
    // Back from the agency the session is there, but not this page's half of it.
    if (app.wallet === undefined) {
      const wallet = await Wallet.open();
      await opened(wallet, await wallet.overview());
    }
    const { approval } = await act("accept");
    await go(app.wallet.approve(approval, expected));
  },
  again,
);

// -- What led here ---------------------------------------------------------------------------------

async function callback() {
  const pairs = [...new URLSearchParams(location.search)];
  const parameters = Object.fromEntries(pairs);
  const twice = pairs.length !== Object.keys(parameters).length;
  history.replaceState(null, "", "/callback"); // the code stays in no history
  if (twice) throw new Refused("foreign_callback");
  await go(call("POST", "/issuances/callback", { parameters }));
}

async function enter(id) {
  if (id !== undefined) await go(call("GET", `/issuances/${id}`));
  else if (app.entry === "callback") await callback();
  else await go(call("POST", "/scan", { text: location.href }));
}

views.register("receive", { closed: app.entry === "callback", enter });
