// An agency offers a document: what it is, a code or a sign-in there, one gesture; the content, kept
// or not. The same view takes the browser back from the agency (/callback): first the answer is handed
// to the session that began it, and only then anything else happens.

import { app, end, go as goTo, opened, views } from "./app.js";
import { listed, soon } from "./faces.js";
import { $, announce, busy, claimShown, day, fill, onClick, onSubmit, said, show } from "./page.js";
import { Refused, Wallet, call } from "./wallet.js";

let flow;

const act = (name, body) => call("POST", `/issuances/${flow.id}/${name}`, body);

async function know(changed) {
  flow = await changed;
  for (const each of document.querySelectorAll(".issuer")) {
    each.textContent = flow.issuer?.name ?? "";
  }
  for (const each of document.querySelectorAll(".offered")) {
    each.replaceChildren(...oneOf(flow.documents ?? []).map((name) => fill("document", { name })));
  }
}

async function go(changed) {
  await know(changed);
  switch (flow.step) {
    case "tx_code":
    case "sign_in":
    case "authorizing":
    case "redeeming":
    case "preview":
    case "accepted":
      showPreview();
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
const oneOf = (documents) => [...new Set(documents.map((each) => each.name))];

const already = () => (flow.documents ?? []).flatMap((each) => each.already);

const SIGNING_IN = new Set(["sign_in", "authorizing", "redeeming"]);
const BACK = {
  approve_again: "approve_again",
  access_denied: "came_back",
  code_refused: "sign_in_again",
  token_expired: "sign_in_again",
};

function showPreview() {
  const { step, reason } = flow;
  const there = SIGNING_IN.has(step);
  const typed = step === "tx_code";
  $("offers").hidden = Boolean(flow.renews);
  $("renews").hidden = !flow.renews;
  $("exchange").hidden = already().length === 0;
  for (const id of ["sign-in-words", "yes-there"]) $(id).hidden = !there;
  for (const id of ["yes-words", "yes"]) $(id).hidden = there;
  const back = typed || reason === undefined ? undefined : (BACK[reason] ?? "agency_refused");
  $("came-back").hidden = back === undefined;
  $("came-back").textContent = said("offer-words", back ?? "") ?? "";
  $("tx-code-field").hidden = !typed;
  if (typed) askCode();
  show("preview");
  if (typed && reason === "code_refused") codeWrong("code_refused", flow.tries_left);
}

function askCode() {
  const { description, input_mode: mode } = flow.tx_code;
  $("tx-code-words").textContent = description ?? "";
  $("tx-code-where").hidden = Boolean(description);
  const field = $("typed-tx-code");
  field.inputMode = mode === "text" ? "text" : "numeric";
  field.value = "";
  $("tx-code-wrong").hidden = true;
  $("tx-code-field").classList.remove("wrong");
  field.removeAttribute("aria-invalid");
}

function codeWrong(why, left) {
  const known = typeof left === "number"; // else the offer may be over, too
  const over = why === "code_refused" && !known;
  $("tx-code-problem").textContent = said(over ? "known-errors" : "offer-words", why);
  $("tries-left").hidden = !known;
  $("tries-left-count").textContent = left ?? "";
  $("tx-code-wrong").hidden = false;
  $("tx-code-field").classList.add("wrong");
  $("typed-tx-code").setAttribute("aria-invalid", "true");
  announce($("tx-code-wrong").innerText);
  $("typed-tx-code").focus();
}

// The code as it was typed: spaces and dashes are for readers, digits may be Arabic ones.
function typedCode() {
  const { input_mode: mode, length } = flow.tx_code;
  const typed = $("typed-tx-code").value.trim();
  const code =
    mode === "text"
      ? typed
      : typed
          .replace(/[\s-]/g, "")
          .replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (digit) => String(digit.charCodeAt(0) & 0xf));
  if (code === "") return [code, "code_missing"];
  if (mode !== "text" && !/^[0-9]+$/.test(code)) return [code, "code_digits"];
  return [code, length && code.length !== length ? "code_length" : undefined];
}

function card(received) {
  const { changed, expires_at: ends } = received;
  const until = ends === null ? "" : fill("ends-on", { day: day(ends) }).textContent;
  const several = flow.content.length > oneOf(flow.content).length;
  const use = several ? said("card-words", received.format) : "";
  const row = fill("received", { ...received, use, until, different: listed(...changed) });
  row.querySelector(".use").hidden = !several;
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

// One gesture; before a sign-in at the agency, on the way there.
onSubmit(
  "accept-form",
  async () => {
    if (flow.step === "tx_code") {
      const [code, wrong] = typedCode();
      if (wrong) {
        codeWrong(wrong);
        return;
      }
      flow = await act("tx-code", { tx_code: code });
    }
    await yes();
  },
  again,
);

async function yes() {
  const there = SIGNING_IN.has(flow.step);
  if (!there || !flow.accepted) await accept();
  if (there && flow.accepted) location.assign((await act("authorize")).authorize_url);
}

async function accept() {
  // Back from the agency the session is there, but not this page's half of it.
  if (app.wallet === undefined) await opened(await Wallet.open());
  const replace = $("replace").checked ? already() : [];
  const there = SIGNING_IN.has(flow.step);
  try {
    const { approval } = await act("accept", { replace });
    const done = app.wallet.approve(approval, (payload) => expected(payload, replace));
    if (there) flow = await done;
    else await go(done);
  } catch (error) {
    // The code was wrong: the flow stands where it can be typed again.
    if (!(error instanceof Refused)) throw error;
    if (error.code === "code_refused") await look();
    else if (error.code === "second_unlocker_needed") goTo("begin", flow.id);
    else throw error;
  }
}

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

let led; // a promise: the flow of the offer that led here, read once as long as the wallet is open

addEventListener("walletclosed", () => {
  led = undefined;
});

function offered() {
  if (led !== undefined) return led.then(({ id }) => call("GET", `/issuances/${id}`));
  led = call("POST", "/scan", { text: location.href });
  led.catch(() => {
    led = undefined;
  });
  return led;
}

// Whether the offer that led here leads to a sign-in at the agency.
export async function leadsToSignIn() {
  await know(offered());
  return flow.step === "sign_in";
}

// Yes or no to it.
export function answer(accepted) {
  showPreview();
  return busy(accepted ? yes : () => go(act("refuse")), again);
}

let brought; // what the browser came back with

async function callback() {
  brought ??= new URLSearchParams(location.search);
  const parameters = Object.fromEntries(brought);
  const twice = [...brought].length !== Object.keys(parameters).length;
  history.replaceState(null, "", "/callback"); // the code stays in no history
  try {
    if (twice) throw new Refused("foreign_callback");
    await go(call("POST", "/issuances/callback", { parameters }));
  } catch (error) {
    // An answer is taken once: from here on the wallet itself knows how it stands.
    if (error.code !== "no_answer") {
      app.entry = "start";
      history.replaceState(null, "", "/#cards");
    }
    throw error;
  }
}

async function enter(id) {
  if (id !== undefined) await go(call("GET", `/issuances/${encodeURIComponent(id)}`));
  else if (app.entry === "callback") await callback();
  else await go(offered());
}

views.register("receive", { closed: app.entry === "callback", enter });
