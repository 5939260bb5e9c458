// An agency offers a document: preview, code or sign-in there, one gesture, the content, kept or not.
// The same view takes the browser back from the agency (/callback): first the answer is handed to the
// session that began it, and only then anything else happens.

import { app, end, go as goTo, opened, views } from "./app.js";
import { soon } from "./faces.js";
import { $, announce, busy, claimShown, day, fill, onClick, onSubmit, said, show } from "./page.js";
import { Refused, Wallet, call } from "./wallet.js";

let flow;

const act = (name, body) => call("POST", `/issuances/${flow.id}/${name}`, body);

async function go(changed) {
  flow = await changed;
  for (const each of document.querySelectorAll(".issuer")) {
    each.textContent = flow.issuer?.name ?? "";
  }
  for (const each of document.querySelectorAll(".offered")) {
    each.replaceChildren(...oneOfEach().map((name) => fill("document", { name })));
  }
  switch (flow.step) {
    case "sign_in":
    case "authorizing":
    case "redeeming":
      $("came-back").hidden = flow.reason === undefined;
      show("agency-sign-in");
      break;
    case "tx_code":
      showTxCode();
      break;
    case "preview":
    case "accepted":
      $("exchange").hidden = already().length === 0;
      $("offers").hidden = Boolean(flow.renews);
      $("renews").hidden = !flow.renews;
      show("preview");
      break;
    case "requesting":
      await go(act("resume"));
      break;
    case "deferred":
      $("ready-at").textContent = soon(flow.retry_at);
      $("asks-until").textContent = day(flow.expires_at);
      $("still-deferred").hidden = true;
      show("deferred");
      break;
    case "review":
      $("content-of-cards").replaceChildren(...flow.content.map(card));
      show("review");
      break;
    default:
      showEnd();
  }
}

// Names of what is offered: formats of one document are one to people.
const oneOfEach = () => [...new Set((flow.documents ?? []).map((each) => each.name))];

const already = () => (flow.documents ?? []).flatMap((each) => each.already);

function showTxCode() {
  const { description, input_mode: mode } = flow.tx_code;
  const wrong = flow.reason === "code_refused";
  $("tx-code-words").textContent = description ?? "";
  $("tx-code-where").hidden = Boolean(description);
  $("tx-code-wrong").hidden = !wrong;
  $("tries-left").hidden = typeof flow.tries_left !== "number";
  $("tries-left-count").textContent = flow.tries_left ?? "";
  $("tx-code-field").classList.toggle("wrong", wrong);
  const field = $("typed-tx-code");
  field.inputMode = mode === "text" ? "text" : "numeric";
  field.setAttribute("aria-invalid", String(wrong));
  field.value = "";
  show("tx-code");
  if (wrong) {
    announce($("tx-code-wrong").innerText);
    field.focus();
  }
}

function card(received) {
  const { changed, expires_at: ends } = received;
  const until = ends === null ? "" : fill("ends-on", { day: day(ends) }).textContent;
  const row = fill("received", { ...received, until, different: changed.join(", ") });
  row.querySelector(".changed").hidden = !received.replaces || changed.length === 0;
  row.querySelector(".same").hidden = !received.replaces || changed.length > 0;
  row.querySelector(".claims").append(...received.claims.map(claimShown));
  return row;
}

function showEnd() {
  const { step, credentials } = flow;
  $("offer-outcome").textContent = said("offer-outcomes", step) ?? step;
  $("offer-next").textContent = said("known-errors", flow.reason ?? "") ?? said("offer-next-steps", step) ?? "";
  $("show-it").hidden = !credentials;
  if (credentials) $("show-it").href = `#card/${credentials[0]}`;
  show("ended");
}

// What is approved: this agency, no other documents than those shown, no other card exchanged.
function expected(payload, replace) {
  const offered = (item) =>
    flow.documents.some(
      (each) => each.format === item.format && Object.values(item.name).includes(each.name),
    );
  return (
    payload.type === "accept" &&
    payload.flow === flow.id &&
    payload.issuer.identifier === flow.issuer.identifier &&
    payload.items.every(offered) &&
    payload.replaces.every((each) => replace.includes(each))
  );
}

const again = () => busy(() => go(call("GET", `/issuances/${flow.id}`)), again);

onSubmit(
  "tx-code-form",
  () => go(act("tx-code", { tx_code: $("typed-tx-code").value.trim() })),
  again,
);
onClick("keep", () => go(act("keep")), again);
onClick("discard", () => go(act("discard")), again);
for (const each of document.querySelectorAll(".refuse")) {
  each.addEventListener("click", () => busy(() => go(act("refuse")), again));
}

onClick(
  "collect",
  async () => {
    await go(act("collect"));
    if (flow.step === "deferred") $("still-deferred").hidden = false;
  },
  again,
);

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
    if (app.wallet === undefined) await opened(await Wallet.open());
    const replace = $("replace").checked ? already() : [];
    try {
      const { approval } = await act("accept", { replace });
      await go(app.wallet.approve(approval, (payload) => expected(payload, replace)));
    } catch (error) {
      // The code was wrong: the flow stands where it can be typed again.
      if (!(error instanceof Refused)) throw error;
      if (error.code === "code_refused") await look();
      else if (error.code === "second_unlocker_needed") goTo("begin");
      else throw error;
    }
  },
  again,
);

async function look() {
  await go(call("GET", `/issuances/${flow.id}`));
}

for (const id of ["to-documents", "wait-elsewhere", "show-it"]) {
  $(id).addEventListener("click", (event) => {
    event.preventDefault(); // what led here is over
    end(...event.currentTarget.hash.slice(1).split("/"));
  });
}

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
  if (id !== undefined) await go(call("GET", `/issuances/${encodeURIComponent(id)}`));
  else if (app.entry === "callback") await callback();
  else await go(call("POST", "/scan", { text: location.href }));
}

views.register("receive", { closed: app.entry === "callback", enter });
