// What the wallet's documents do: one part at a time, texts from templates, errors said.

import { Refused } from "./wallet.js";

export const $ = (id) => document.getElementById(id);

let retry = () => location.reload();

// What "Try again" does where an act names nothing of its own.
export function retryBy(act) {
  retry = act;
}

// Show one part and put the focus on its heading, so that screen readers read it out.
export function show(id) {
  for (const each of document.querySelectorAll(".part")) each.hidden = each.id !== id;
  const heading = $(id).querySelector("h1");
  const name = $("app")?.dataset.name;
  if (heading && name) document.title = `${heading.innerText.trim()} – ${name}`; // what is hidden in it is not said
  heading?.focus();
  scrollTo(0, 0);
}

// Have screen readers say something while the focus stays where it is.
export function announce(text) {
  $("live").textContent = "";
  requestAnimationFrame(() => {
    $("live").textContent = text;
  });
}

// A copy of a template: `data-text` members get the text of that name, `data-field` an attribute.
export function fill(templateId, values) {
  const copy = $(templateId).content.firstElementChild.cloneNode(true);
  for (const each of [copy, ...copy.querySelectorAll("[data-text], [data-field]")]) {
    const { text, field } = each.dataset;
    if (text !== undefined) each.textContent = values[text] ?? "";
    if (field !== undefined) each.dataset.value = values[field];
  }
  return copy;
}

// The translated text for a code, if the page has one.
export function said(templateId, code) {
  return $(templateId)?.content.querySelector(`[data-code="${CSS.escape(code)}"]`)?.textContent;
}

// A claim under its label; a portrait is a picture.
export function claimShown(claim) {
  if (claim.kind !== "image") {
    return fill("claim", { label: claim.label, value: claim.text });
  }
  const row = fill("claim", { label: claim.label });
  const image = document.createElement("img");
  image.src = claim.value;
  image.alt = claim.label;
  image.className = "picture";
  row.querySelector("dd").append(image);
  return row;
}

// What stands in a field is wrong, in words beside it; without words it is not, or not any more.
export function wrong(field, text) {
  $(`${field}-wrong`).textContent = text ?? "";
  $(`${field}-wrong`).hidden = !text;
  $(`${field}-field`).classList.toggle("wrong", Boolean(text));
  $(field).setAttribute("aria-invalid", String(Boolean(text)));
  if (!text) return;
  announce(text);
  $(field).focus();
}

// A day in the reader's language, of seconds since 1970.
export function day(seconds) {
  const style = { dateStyle: "long" };
  return new Date(seconds * 1000).toLocaleDateString(document.documentElement.lang, style);
}

// A text for the reader to keep, as a file.
export function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// In the reader's language, or in the words of the wallet's API, which are English.
function explain(id, known, raw) {
  $(id).textContent = known ?? raw ?? "";
  $(id).lang = known === undefined && raw ? "en" : document.documentElement.lang;
}

// What doing the same once more cannot mend.
const OVER = new Set(
  `request_expired verifier_refused offer_over over_asking_blocked invalid_request invalid_client unknown_agency
  untrusted_issuer wrong_credential foreign_callback wrong_server code_locked nothing_renews
  not_supported`.split(/\s+/),
);

// What is nobody's fault, or where nobody here knows whose it is.
const NOBODYS = new Set(["request_expired", "verifier_refused", "offer_over"]);

export function fail(error, again) {
  const refused = error instanceof Refused ? error : new Refused("page_error");
  if (!(error instanceof Refused)) console.error(error);
  const { code } = refused;
  $("error-code").textContent = code;
  $("error-support-id").textContent = refused.supportId ?? "";
  $("error-support").hidden = !refused.supportId;
  explain("error-detail", said("known-errors", code), refused.detail);
  $("error-fault").textContent = NOBODYS.has(code) ? "" : (said("faults", refused.whoseFault) ?? "");
  explain("error-next-step", said("next-steps", code), refused.nextStep);
  const home = $("sections") !== null;
  const over = home && OVER.has(code);
  $("again").hidden = over;
  $("error-home").hidden = !home;
  $("error-home").classList.toggle("main", over);
  $("again").onclick = (refused.code === "unauthenticated" ? undefined : again) ?? retry;
  show("failure");
}

// Do something that takes a while: buttons rest meanwhile, what goes wrong is shown.
export async function busy(act, again) {
  const resting = [...document.querySelectorAll("button:not([disabled])")];
  const focused = document.activeElement;
  for (const each of resting) each.disabled = true;
  try {
    await act();
  } catch (error) {
    fail(error, again);
  } finally {
    for (const each of resting) each.disabled = false;
    if (document.activeElement === document.body) focused?.focus();
  }
}

export function onClick(id, act, again) {
  $(id).addEventListener("click", () => busy(act, again));
}

export function onSubmit(id, act, again) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    busy(() => act(event), again);
  });
}
