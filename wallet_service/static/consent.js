// An agency asks: who, why, for what; then one gesture for exactly that, or a refusal.

import { app, views } from "./app.js";
import { showDone } from "./done.js";
import { $, busy, claimShown, fill, onClick, onSubmit, show } from "./page.js";
import { canonical } from "./vault.js";
import { Refused, call } from "./wallet.js";

let flow;

// -- What is asked -------------------------------------------------------------------------------

function claimRow(claim, mark) {
  const row = claimShown(claim);
  if (mark) {
    row.querySelector("dd").append($("marks").content.querySelector(`.${mark}`).cloneNode(true));
  }
  return row;
}

function optionRow(query, option, several) {
  const row = fill("option", option);
  const input = row.querySelector(".chosen");
  input.type = query.multiple ? "checkbox" : "radio";
  input.name = `card-${query.query}`;
  input.value = option.credential;
  input.checked = (query.chosen.length ? query.chosen : [query.options[0].credential]).includes(
    option.credential,
  );
  input.hidden = !several;
  row.querySelector(".claims").append(
    ...option.claims.map((each) => claimRow(each, each.entitled ? "" : "unentitled")),
    ...option.always_disclosed.map((each) => claimRow(each, "always")),
  );
  return row;
}

function queryRow(query) {
  const row = fill("query", query);
  row.querySelector(".optional").hidden = query.required;
  const use = row.querySelector(".use");
  use.checked = query.required || query.chosen.length > 0;
  const several = query.options.length > 1;
  const options = query.options.map((each) => optionRow(query, each, several));
  row.querySelector(".options").append(...options);
  return row;
}

function kept(seconds) {
  const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(
    ([, each]) => seconds >= each,
  ) ?? ["second", 1];
  const style = { style: "unit", unit, unitDisplay: "long" };
  return new Intl.NumberFormat(document.documentElement.lang, style).format(
    Math.ceil(seconds / length),
  );
}

function showConsent() {
  const model = flow.consent;
  $("verifier").textContent = model.verifier.name;
  $("purpose").textContent = model.purpose ?? "";
  $("warnings").replaceChildren(...model.warnings.map((each) => fill("warning", each)));
  const answered = model.credentials.filter((each) => each.options.length > 0);
  $("documents").replaceChildren(...answered.map(queryRow));
  $("transactions").replaceChildren(...model.transactions.map((each) => fill("transaction", each)));
  $("impossible").hidden = model.possible;
  $("share").hidden = !model.possible;
  $("retention").hidden = model.retention_seconds === null;
  if (model.retention_seconds !== null) $("kept").textContent = kept(model.retention_seconds);
  const policy = model.privacy_policy ?? "";
  $("policy").hidden = !policy.startsWith("https://");
  $("policy-link").href = policy.startsWith("https://") ? policy : "";
  $("if-refused").textContent = model.if_refused;
  show("consent");
}

// -- The answer ----------------------------------------------------------------------------------

function picks() {
  const chosen = {};
  for (const row of document.querySelectorAll("#documents fieldset")) {
    if (!row.querySelector(".use").checked) continue;
    const inputs = [...row.querySelectorAll(".chosen:checked")];
    chosen[row.dataset.value] = inputs.map((each) => each.value);
  }
  return chosen;
}

// Whether the payload says what this page said: this agency, these cards, no claim more.
function expected(payload, chosen) {
  const { consent } = flow;
  const shown = new Map();
  for (const { query, options } of consent.credentials) {
    for (const option of options) {
      const paths = option.claims.map((each) => canonical(each.path));
      shown.set(canonical([query, option.credential]), new Set(paths));
    }
  }
  const wanted = new Set(
    Object.entries(chosen).flatMap(([query, cards]) => cards.map((card) => canonical([query, card]))),
  );
  const asked = new Set(payload.items.map((item) => canonical([item.query, item.credential])));
  return (
    payload.type === "present" &&
    payload.flow === flow.id &&
    payload.verifier.entity === consent.verifier.entity &&
    asked.size === wanted.size &&
    [...asked].every((each) => wanted.has(each)) &&
    payload.items.every((item) => {
      const known = shown.get(canonical([item.query, item.credential])) ?? new Set();
      return item.claims.every((path) => known.has(canonical(path)));
    }) &&
    payload.transactions.length === consent.transactions.length &&
    payload.transactions.every((each, at) =>
      Object.values(each.details.texts).includes(consent.transactions[at].text),
    )
  );
}

async function deliver(act) {
  try {
    showDone(await act());
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "unavailable") throw error;
    show("not-delivered");
  }
}

const again = () => busy(() => load(flow.id));

onSubmit(
  "choice",
  async () => {
    const chosen = picks();
    const place = `/presentations/${flow.id}`;
    const { approval } = await call("POST", `${place}/select`, { picks: chosen });
    await deliver(() => app.wallet.approve(approval, (payload) => expected(payload, chosen)));
  },
  again,
);

onClick("refuse", () => deliver(() => call("POST", `/presentations/${flow.id}/refuse`)), again);
onClick("retry", () => deliver(() => call("POST", `/presentations/${flow.id}/retry`)), again);

async function load(id) {
  flow = await (id === undefined
    ? call("POST", "/presentations", { ticket: app.ticket })
    : call("GET", `/presentations/${id}`));
  if (flow.step === "consent") showConsent();
  else if (flow.step === "answered") show("not-delivered");
  else showDone(flow);
}

views.register("consent", { enter: load });
