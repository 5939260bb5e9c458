// An agency asks: who, why, for what; then one gesture for exactly that, or a refusal.

import { app, views } from "./app.js";
import { choices, picks, rows } from "./choosing.js";
import { blameCards, showDone } from "./done.js";
import { rows as lacks } from "./lacking.js";
import { $, busy, fill, onClick, onSubmit, said, show } from "./page.js";
import { canonical } from "./vault.js";
import { Refused, call } from "./wallet.js";

let flow;
let warned; // codes of the warnings that this page shows
let timers = [];

const SERIOUS = new Set([
  "verifier_unknown",
  "over_asked",
  "type_not_registered",
  "cross_device_not_allowed",
  "card_not_valid",
]);

// -- What is asked -------------------------------------------------------------------------------

// What is wrong with the question stands together; what to take care of, each by itself.
function warningRows(warnings) {
  for (const each of warnings) warned.add(each.code);
  const serious = warnings.filter((each) => SERIOUS.has(each.code));
  const rows = warnings.filter((each) => !SERIOUS.has(each.code)).map((each) => fill("warning", each));
  if (serious.length > 0) {
    const list = document.createElement("ul");
    list.className = "alert";
    list.append(...serious.map((each) => fill("serious", each)));
    rows.unshift(list);
  }
  return rows;
}

function inWords(seconds) {
  const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(
    ([, each]) => seconds >= each,
  ) ?? ["second", 1];
  const style = { style: "unit", unit, unitDisplay: "long" };
  return new Intl.NumberFormat(document.documentElement.lang, style).format(
    Math.ceil(seconds / length),
  );
}

// The agency's own limit: said beforehand, with its end in sight, and without a running clock.
function setDeadline(seconds) {
  stopWaiting();
  tooLate(false);
  $("deadline").hidden = seconds === null;
  if (seconds === null) return;
  const end = new Date(Date.now() + seconds * 1000);
  const style = { hour: "numeric", minute: "2-digit" };
  $("deadline-time").textContent = end.toLocaleTimeString(document.documentElement.lang, style);
  const say = (code) => {
    const text = said("deadline-words", code);
    $("late-warnings").replaceChildren(fill("warning", { code, text }));
    if (code === "over") tooLate(true);
  };
  if (seconds > 0) timers.push(setTimeout(say, Math.max(0, seconds - 60) * 1000, "near"));
  timers.push(setTimeout(say, seconds * 1000, "over"));
}

// Nobody waits for an answer any more.
function tooLate(over) {
  const there = ["share", "refuse"].includes(document.activeElement.id);
  if (over) $("share").hidden = true;
  $("refuse").hidden = over;
  $("too-late").hidden = !over;
  if (over && there) $("too-late").focus();
}

function stopWaiting() {
  for (const each of timers) clearTimeout(each);
  timers = [];
}

function showConsent() {
  const model = flow.consent;
  warned = new Set();
  $("verifier").textContent = model.verifier.name;
  $("vouched").hidden = model.verifier.trust !== "registered";
  $("purpose").textContent = model.purpose ?? "";
  $("website").hidden = model.website === null;
  $("website-name").textContent = model.website ?? "";
  // Where nothing can be shared, only what is wrong with the question matters.
  const telling = model.warnings.filter((each) => model.possible || SERIOUS.has(each.code));
  $("warnings").replaceChildren(...warningRows(telling));
  $("late-warnings").replaceChildren();
  $("documents").replaceChildren(...rows(model));
  const something = $("documents").hasChildNodes();
  $("would-show").hidden = !something || !model.possible;
  $("asked-for").hidden = !something || model.possible;
  $("transactions").replaceChildren(...model.transactions.map((each) => fill("transaction", each)));
  $("impossible").hidden = model.possible;
  $("not-allowed").hidden = !model.blocked;
  $("no-match").hidden = model.blocked;
  $("lacking").replaceChildren(...lacks(model.lacking, again));
  $("share").hidden = !model.possible;
  $("retention").hidden = model.retention_seconds === null || !model.possible;
  if (model.retention_seconds !== null) $("kept").textContent = inWords(model.retention_seconds);
  $("answer-to").textContent = model.answer_to;
  const policy = model.privacy_policy ?? "";
  $("policy").hidden = !policy.startsWith("https://");
  $("policy-link").href = policy.startsWith("https://") ? policy : "";
  $("if-refused").textContent = model.if_refused;
  setDeadline(model.seconds_left);
  show("consent");
}

// -- The answer ----------------------------------------------------------------------------------

// Whether the payload says what this page said: this agency, this purpose, these cards, no claim and
// no warning more.
function expected(payload, chosen) {
  const { consent } = flow;
  const { verifier, request } = payload;
  const asked = payload.items.map((item) => canonical([item.query, item.credential]));
  const wanted = Object.entries(chosen).flatMap(([query, cards]) =>
    cards.map((card) => canonical([query, card])),
  );
  return (
    payload.type === "present" &&
    payload.flow === flow.id &&
    verifier.entity === consent.verifier.entity &&
    Object.values(verifier.names).includes(consent.verifier.name) &&
    (consent.purpose === null || Object.values(verifier.purpose_texts).includes(consent.purpose)) &&
    verifier.retention_seconds === consent.retention_seconds &&
    new URL(request.response_uri).host === consent.answer_to &&
    canonical([...new Set(asked)].sort()) === canonical(wanted.sort()) &&
    payload.items.every(({ query, credential, claims, always }) => {
      const shown = choices(consent, query, credential);
      return (
        claims.every((path) => shown.claims.has(canonical(path))) &&
        always.every((name) => shown.always.has(name))
      );
    }) &&
    payload.transactions.length === consent.transactions.length &&
    payload.transactions.every(
      ({ type, details }, at) =>
        type === consent.transactions[at].type &&
        Object.values(details.texts).includes(consent.transactions[at].text) &&
        (details.reference ?? null) === consent.transactions[at].reference,
    ) &&
    payload.warnings.every(isShown)
  );
}

async function deliver(act) {
  try {
    const answer = await act();
    stopWaiting();
    showDone(answer);
  } catch (error) {
    if (error.code === "unavailable") show("not-delivered");
    else if (error.code !== "verifier_refused" || !(await aCardIsToBlame())) throw error;
  }
}

async function aCardIsToBlame() {
  try {
    return await blameCards(app.wallet, new Set(Object.values(picks()).flat()));
  } catch {
    return false; // not known: then only the agency can tell
  }
}

// What the page says of the cards that are chosen, beside what it says of the question.
const isShown = (code) =>
  warned.has(code) ||
  $("documents").querySelector(`.card-warnings:not([hidden]) [data-value="${CSS.escape(code)}"]`);

const again = () => busy(() => load(flow.id));

onSubmit(
  "choice",
  async () => {
    const chosen = picks();
    const place = `/presentations/${flow.id}`;
    const { approval, warnings } = await call("POST", `${place}/select`, { picks: chosen });
    const unseen = warnings.filter((each) => !isShown(each.code));
    if (unseen.length > 0) {
      // Known only now that cards were chosen: to be read before the gesture, so share once more.
      $("late-warnings").replaceChildren(...warningRows(unseen));
      return;
    }
    await deliver(() => app.wallet.approve(approval, (payload) => expected(payload, chosen)));
  },
  again,
);

onClick("refuse", () => deliver(() => call("POST", `/presentations/${flow.id}/refuse`)), again);
onClick("retry", () => deliver(() => call("POST", `/presentations/${flow.id}/retry`)), again);

async function load(id) {
  if (id === undefined) {
    flow = await call("POST", "/presentations", { ticket: app.ticket });
    // From here on this address stands for it: loading the page again asks the agency nothing.
    app.entry = "start";
    history.replaceState(null, "", `/#consent/${flow.id}`);
  } else {
    flow = await call("GET", `/presentations/${id}`);
  }
  if (flow.step === "failed") throw new Refused(flow.reason);
  if (flow.step === "consent") showConsent();
  else if (flow.step === "answered") show("not-delivered");
  else showDone(flow);
}

views.register("consent", { enter: load, leave: stopWaiting });
