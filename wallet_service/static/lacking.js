// What the wallet lacks for an answer, and the way to it: its agency, now or by the ways to reach it.

import { go } from "./app.js";
import { ways } from "./faces.js";
import { busy, fill, said } from "./page.js";
import { call } from "./wallet.js";

// The agency is asked only now that the citizen wants it, and does not learn who asked for what.
async function getIt({ identifiers, format }, type, again) {
  const [issuer] = identifiers;
  await busy(async () => {
    const flow = await call("POST", "/issuances", { issuer, format, type });
    go("receive", flow.id);
  }, again);
}

function source(from, type, again) {
  const row = fill("source", from);
  const press = row.querySelector(".get-it");
  press.setAttribute("aria-label", `${press.textContent}: ${from.name}`);
  if (from.identifiers.length > 0) press.addEventListener("click", () => getIt(from, type, again));
  else press.parentElement.remove();
  row.querySelector(".ways").append(...ways(from.contact));
  return row;
}

function lacked({ name, type, held, issuers }, again) {
  const words = type === null ? said("lack-words", "any") : `${said("lack-words", "unnamed")} ${type}`;
  const row = fill("lacked", { name: name ?? words });
  if (!held) row.querySelector(".held").remove();
  row.append(...issuers.map((each) => source(each, type, again)));
  if (issuers.length === 0) {
    const nobody = document.createElement("p");
    nobody.textContent = said("lack-words", "nobody");
    row.append(nobody);
  }
  return row;
}

// Formats of one document are one to people.
const looks = (option) =>
  JSON.stringify(option.map(({ name, type, held, issuers }) => [name ?? type, held, issuers.map((it) => it.name)]));

// One part of the question that nothing answers, with the ways there are to answer it.
function part(all, again) {
  const row = fill("lack", {});
  const options = all.filter((each) => each === all.find((other) => looks(other) === looks(each)));
  const [first] = options;
  const code = options.length > 1 ? "one" : first.length > 1 ? "all" : "needed";
  row.querySelector("h2").textContent = said("lack-words", code);
  for (const option of options) row.append(...option.map((each) => lacked(each, again)));
  return row;
}

export const rows = (lacking, again) => lacking.map((each) => part(each, again));
