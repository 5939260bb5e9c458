// Who has seen my data: the log in words, what can be done about an entry, the file to keep.

import { app, end, views } from "./app.js";
import { apart, clear, listed, moment, ways } from "./faces.js";
import { $, announce, busy, fill, onClick, said, save, show } from "./page.js";
import { call } from "./wallet.js";

let entries = [];
let entry; // the one that is shown, with contacts and letters
let letter; // the kind of letter that is shown

function title({ type, result, forgotten }) {
  const words = said("entry-words", `${type}/${result}`) ?? said("entry-words", type) ?? type;
  return forgotten ? `${words} (${said("entry-words", "forgotten")})` : words;
}

const isShown = (each) => each.type === "presentation";

// -- The list --------------------------------------------------------------------------------------

const FEW = 3; // claims that a row of the list names

function row(each) {
  const what = each.documents.map(({ name, claims }) =>
    listed(name, ...claims.slice(0, FEW), claims.length > FEW ? "…" : ""),
  );
  const item = fill("entry", {
    title: title(each),
    party: each.party?.name ?? "",
    what: apart(...new Set(what)),
    time: moment(each.time),
  });
  item.querySelector("a").href = `#history/${each.seq}`;
  return item;
}

function draw() {
  const wanted = $("history-with").value;
  const fits = (each) =>
    wanted === "" || (wanted === "shown" ? isShown(each) : each.party?.entity === wanted);
  const found = entries.filter(fits);
  clear("history-list", ...found.map(row));
  $("history-list").hidden = found.length === 0;
  $("history-empty").hidden = found.length > 0;
}

function offerParties() {
  const select = $("history-with");
  const chosen = select.value;
  for (const each of select.querySelectorAll("[data-party]")) each.remove();
  const parties = new Map();
  for (const { party } of entries) if (party) parties.set(party.entity, party.name);
  for (const [entity, name] of parties) {
    const option = document.createElement("option");
    option.value = entity;
    option.textContent = name;
    option.dataset.party = "";
    select.append(option);
  }
  select.value = chosen === "" || parties.has(chosen) ? chosen : "shown";
}

async function showList() {
  ({ entries } = await call("GET", "/history"));
  offerParties();
  draw();
  show("history");
}

$("history-with").addEventListener("change", draw);

onClick("history-export", async () => {
  // What can be read, and what can be checked: the chain of hashes.
  const [{ entries: history }, log] = await Promise.all([call("GET", "/history"), call("GET", "/log")]);
  const today = new Date().toISOString().slice(0, 10);
  save(`wallet-history-${today}.json`, JSON.stringify({ history, log }, null, 2));
});

// -- One entry -------------------------------------------------------------------------------------

function item(text) {
  const found = document.createElement("li");
  found.textContent = text;
  return found;
}

function documentRow({ name, claims }) {
  const found = fill("entry-document", { name });
  found.querySelector("ul").append(...claims.map(item));
  return found;
}

async function showEntry(seq) {
  entry = await call("GET", `/history/${encodeURIComponent(seq)}`);
  $("entry-title").textContent = title(entry);
  $("entry-party").textContent = entry.party?.name ?? "";
  $("entry-party").hidden = !entry.party;
  $("entry-time").textContent = moment(entry.time);
  $("entry-purpose").textContent = entry.purpose ?? "";
  for (const each of document.querySelectorAll(".entry-purpose")) each.hidden = !entry.purpose;
  clear("entry-documents", ...entry.documents.map(documentRow));
  clear("entry-warning-list", ...entry.warnings.map(item));
  $("entry-warnings").hidden = entry.warnings.length === 0;
  $("entry-forgotten").hidden = !entry.forgotten;
  const asked = entry.asked.map(
    (each) => item(listed(said("entry-words", `asked/${each.kind}`), moment(each.time))),
  );
  clear("entry-asked-list", ...asked);
  $("entry-asked").hidden = asked.length === 0;
  const contacts = ways(entry.contacts.support);
  clear("entry-ways", ...contacts);
  $("entry-contact").hidden = contacts.length === 0;
  $("ask-erasure").hidden = !entry.letters;
  $("tell-authority").hidden = !entry.letters;
  $("entry-acts").hidden = entry.forgotten;
  show("one-entry");
}

// -- Letters ---------------------------------------------------------------------------------------

const remember = () => call("POST", `/history/${entry.seq}/letters`, { kind: letter });

function showLetter(kind) {
  letter = kind;
  const role = kind === "erasure" ? "data_protection" : "supervisory_authority";
  const contact = entry.contacts[role];
  const written = entry.letters[kind];
  $("letter-title").textContent = said("entry-words", kind);
  $("letter-to").textContent = contact?.name ?? "";
  const rows = ways(contact, written);
  for (const each of rows) {
    // The link goes where it goes; beside that the history remembers that it was taken.
    each.firstChild.addEventListener("click", () => remember().catch(() => undefined));
  }
  clear("letter-ways", ...rows);
  $("letter-ways").hidden = rows.length === 0;
  $("letter-how").hidden = rows.length === 0;
  $("letter-no-way").hidden = rows.length > 0;
  $("letter-text").value = `${written.subject}\n\n${written.body}`;
  $("letter-back").href = `#history/${entry.seq}`;
  show("letter");
}

onClick("ask-erasure", async () => showLetter("erasure"));
onClick("tell-authority", async () => showLetter("report"));
onClick("copy-letter", async () => {
  $("letter-text").select();
  try {
    await navigator.clipboard.writeText($("letter-text").value);
  } catch {
    return; // it is selected: the citizen copies it
  }
  announce(said("entry-words", "copied"));
});
$("letter-back").addEventListener("click", (event) => {
  event.preventDefault(); // its address is this one: the entry is read again
  busy(() => showEntry(entry.seq));
});

// -- Forgetting ------------------------------------------------------------------------------------

onClick("forget-entry", async () => {
  $("forgotten-name").textContent = listed(title(entry), entry.party?.name);
  show("forget-it");
});

onClick("forget-not", async () => show("one-entry"));

onClick("forget-now", async () => {
  const { seq } = entry;
  const { approval } = await call("POST", `/log/${seq}/deletion`);
  await app.wallet.approve(
    approval,
    (payload) => payload.type === "delete_log_entry" && payload.entry === seq,
  );
  end("history");
});

views.register("history", {
  enter: (seq) => (seq === undefined ? showList() : showEntry(seq)),
});
