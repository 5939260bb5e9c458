// A document as it is seen: its face, its state in words, until when; and whom to ask about it.

import { $, day, fill } from "./page.js";

const WORST_FIRST = ["revoked", "expired", "suspended", "not_yet_valid", "not_checked", "valid"];
export const USABLE = new Set(["valid", "not_checked"]);
const KINDS = { valid: "good", not_checked: "", not_yet_valid: "note", suspended: "note" };

// Documents as people count them: formats of one document are one, and its worst state is its state.
export function documents({ cards, documents: groups }) {
  const byId = new Map(cards.map((each) => [each.id, each]));
  return groups.map((ids) => {
    const formats = ids.map((id) => byId.get(id));
    const rank = (card) => WORST_FIRST.indexOf(card.badge);
    const [worst] = formats.toSorted((one, other) => rank(one) - rank(other));
    return { card: worst, formats };
  });
}

function until(card) {
  if (card.expires_at === null || card.badge === "revoked") return "";
  const row = fill(card.badge === "expired" ? "ended-on" : "ends-on", { day: day(card.expires_at) });
  return row.textContent;
}

// A picture of the type's own; one that fails to load leaves name and colours.
function image(url, className) {
  const found = document.createElement("img");
  found.src = url;
  found.alt = "";
  found.className = className;
  found.addEventListener("error", () => found.remove());
  return found;
}

export function face(card) {
  const found = fill("face", card);
  found.classList.toggle("is-over", !USABLE.has(card.badge));
  if (card.colors) {
    found.style.backgroundColor = card.colors.background;
    found.style.color = card.colors.text;
  }
  if (card.background) found.prepend(image(card.background, "ground"));
  const logo = card.logo ?? card.issuer_logo;
  if (logo) found.prepend(image(logo.url, "logo"));
  if (card.picture) {
    const picture = image(card.picture, "drawn");
    picture.addEventListener("load", () => found.classList.add("is-drawn"));
    found.prepend(picture);
  }
  return found;
}

export function state(card, test) {
  const row = fill("state", { badge_text: card.badge_text, until: until(card) });
  row.querySelector(".badge").classList.add(...[KINDS[card.badge] ?? "wrong"].filter(Boolean));
  if (!test) row.querySelector(".test").remove();
  return row;
}

// -- Whom to ask -----------------------------------------------------------------------------------

function link(href, text) {
  const found = document.createElement("a");
  found.href = href;
  const isolated = document.createElement("bdi");
  isolated.textContent = text;
  found.append(isolated);
  if (href.startsWith("http")) {
    found.rel = "noreferrer";
    found.target = "_blank";
  }
  return found;
}

// The ways to reach somebody, as list items; a letter goes along with a mail.
export function ways(contact, letter) {
  const found = [];
  if (!contact) return found;
  const { uri, email, phone } = contact;
  if (/^https?:\/\//.test(uri ?? "")) found.push(link(uri, uri));
  if (email) {
    const query = letter
      ? `?subject=${encodeURIComponent(letter.subject)}&body=${encodeURIComponent(letter.body)}`
      : "";
    found.push(link(`mailto:${encodeURIComponent(email).replace("%40", "@")}${query}`, email));
  }
  if (phone) found.push(link(`tel:${phone.replace(/[^+\d]/g, "")}`, phone));
  return found.map((each) => {
    const row = document.createElement("li");
    row.append(each);
    return row;
  });
}

// How much time is left, in words: "in 5 minutes".
export function soon(seconds) {
  const left = Math.max(60, seconds - Date.now() / 1000);
  const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(
    ([, each]) => left >= each,
  );
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang);
  return words.format(Math.round(left / length), unit);
}

export const moment = (seconds) =>
  new Date(seconds * 1000).toLocaleString(document.documentElement.lang, {
    dateStyle: "medium",
    timeStyle: "short",
  });

// Several texts as one, with the comma or the semicolon of the reader's language.
const joined = (latin, arabic) => (...parts) =>
  parts.filter(Boolean).join(document.documentElement.lang === "ar" ? arabic : latin);
export const listed = joined(", ", "، ");
export const apart = joined("; ", "؛ ");

export const clear = (id, ...rows) => $(id).replaceChildren(...rows);
