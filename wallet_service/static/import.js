// The documents of an export file, of this or another wallet: each is asked of its agency anew. The file
// is opened here and goes nowhere.

import { app, go, views } from "./app.js";
import { listed } from "./faces.js";
import { $, busy, fill, onSubmit, said, show } from "./page.js";
import { call } from "./wallet.js";

let read; // what the file held, and the open wallet that it was read for

// Texts by language, or one text alone, as wallets write it.
function worded(texts) {
  if (typeof texts === "string") return texts;
  const all = Array.isArray(texts) ? texts : [texts];
  const here = all.find((each) => each?.lang?.startsWith(document.documentElement.lang));
  return (here ?? all[0])?.content ?? "";
}

function named(each) {
  return worded(each.credentialName) || String(each.credentialIdentifier ?? "");
}

async function ask(each) {
  const { supplyPointURL: issuer, format, credentialIdentifier: type } = each;
  const flow = await call("POST", "/issuances", { issuer, format, type });
  go("receive", flow.id);
}

// Formats of one document are one to people: those of the same name by the same agency.
function documents(listed) {
  const found = new Map();
  for (const each of listed) {
    const key = [named(each), worded(each.issuerName), each.supplyPointURL].join("\n");
    found.set(key, [...(found.get(key) ?? []), each]);
  }
  return [...found.values()];
}

function row(formats, cards) {
  const missing = formats.find(
    (each) =>
      !cards.some((card) => card.type === each.credentialIdentifier && card.format === each.format),
  );
  const each = missing ?? formats[0];
  const name = named(each);
  const state = [worded(each.issuerName), missing ? "" : said("import-words", "held")];
  const made = fill("unlocker", { name, state: state.filter(Boolean).join(" · ") });
  const act = made.querySelector(".act");
  act.append($("ask-again").content.cloneNode(true));
  const button = act.querySelector("button");
  button.setAttribute("aria-label", `${button.textContent}: ${listed(name, state[0])}`);
  button.addEventListener("click", () => busy(() => ask(each), showList));
  return made;
}

async function showList() {
  const { cards } = await app.wallet.overview();
  const { listOfCredentials: listed, transactionLog: log } = read.migration;
  $("import-list").replaceChildren(...documents(listed).map((each) => row(each, cards)));
  $("import-none").hidden = listed.length > 0;
  $("import-log").textContent = Array.isArray(log) ? log.length : 0;
  show("imported");
}

onSubmit(
  "import-form",
  async () => {
    const { opened } = await import("./portable.js");
    const content = await $("import-file").files[0].text();
    read = { migration: await opened(content, $("import-code").value), wallet: app.wallet };
    $("import-form").reset();
    await showList();
  },
  async () => show("import"),
);
$("import-other").addEventListener("click", () => show("import"));

const enter = () => (read?.wallet === app.wallet ? showList() : show("import"));

views.register("import", { enter, leave: () => $("import-form").reset() });
