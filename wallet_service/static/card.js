// One document: what it says, who answers for it, where it was shown; renewed or deleted from here.

import { app, end, go, views } from "./app.js";
import { clear, documents, face, listed, moment, state, ways } from "./faces.js";
import { $, claimShown, day, fill, onClick, said, show } from "./page.js";
import { Refused, call } from "./wallet.js";

let shown; // { card, formats }

const FEW = 2;

function seenRow(entry) {
  const row = fill("seen", { name: entry.party?.name ?? "", time: moment(entry.time) });
  row.querySelector("a").href = `#history/${entry.seq}`;
  return row;
}

function formatRow(card) {
  return fill("format-row", { ...card, format: said("card-words", card.format) ?? card.format });
}

function draw(card, overview, entries) {
  const { formats } = shown;
  $("card-name").textContent = card.name;
  clear("card-face", face(card), state(card, overview.test));
  $("card-next").hidden = !card.next_step;
  $("card-next").textContent = card.next_step ?? "";
  const few = card.copies_left <= (shown.card.renews_itself ? 0 : FEW);
  $("card-copies").hidden = !few;
  $("copies-left").textContent = card.copies_left;
  clear("card-claims", ...card.claims.map(claimShown));
  $("card-issuer").textContent = card.issuer;
  const contacts = ways(card.contacts.support);
  clear("card-ways", ...contacts);
  $("card-no-ways").hidden = contacts.length > 0;
  const ids = new Set(formats.map((each) => each.id));
  const seen = entries.filter(
    (each) =>
      each.type === "presentation" &&
      each.result === "shared" &&
      each.documents.some(({ credential }) => ids.has(credential)),
  );
  clear("card-seen", ...seen.slice(0, 10).map(seenRow));
  $("card-seen").hidden = seen.length === 0;
  $("card-unseen").hidden = seen.length > 0;
  $("card-received").textContent = day(card.received);
  const checked = card.status_checked;
  $("card-checked").textContent = checked
    ? moment(checked)
    : card.badge === "valid"
      ? fill("card-never", {}).textContent
      : card.badge_text;
  clear("card-formats", ...formats.map(formatRow));
}

async function enter(id) {
  const overview = await app.wallet.overview();
  shown = documents(overview).find(({ formats }) => formats.some((each) => each.id === id));
  if (shown === undefined) throw new Refused("not_found");
  const [card, { entries }] = await Promise.all([
    call("GET", `/credentials/${encodeURIComponent(shown.card.id)}`),
    call("GET", "/history"),
  ]);
  draw(card, overview, entries);
  show("one-card");
}

onClick("renew", async () => {
  const flow = await call("POST", `/credentials/${shown.card.id}/renewal`);
  if (flow.step === "stored") await enter(shown.card.id);
  else go("receive", flow.id);
});

onClick("delete-card", async () => {
  $("deleted-name").textContent = listed(shown.card.name, shown.card.issuer);
  $("deleted-formats").hidden = shown.formats.length === 1;
  show("delete-it");
});

onClick("delete-not", async () => show("one-card"));

onClick("delete-now", async () => {
  for (const { id } of shown.formats) {
    const { approval } = await call("POST", `/credentials/${id}/deletion`);
    await app.wallet.approve(
      approval,
      (payload) => payload.type === "delete_credential" && payload.credential === id,
    );
  }
  end("cards");
});

views.register("card", { enter });
