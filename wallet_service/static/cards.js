// The first screen of an open wallet: documents, what is under way, what needs doing.
// Just opened, it shows what the wallet knows; then it looks at the status lists and renews, and shows
// what changed.

import { app, close, views } from "./app.js";
import { clear, documents, face, state } from "./faces.js";
import { $, fill, onClick, said, show } from "./page.js";
import { untold } from "./told.js";
import { call } from "./wallet.js";

const looked = new WeakMap(); // for each open wallet, the cards whose state was looked up meanwhile
const WAITS = { accepted: "preview", authorizing: "sign_in", redeeming: "sign_in" };
const URGENT = new Set(["recovery_begun", "wallet_frozen", "unlocker_added", "recovered", "code_replaced"]);

function row({ card, formats }, test) {
  const item = fill("card", card);
  const link = item.querySelector("a");
  link.href = `#card/${formats[0].id}`;
  link.append(face(card), state(card, test));
  return item;
}

function flowRow(flow) {
  const what = [flow.documents?.join(", "), flow.party].filter(Boolean).join(" – ");
  const waits = WAITS[flow.step] ?? flow.step;
  const step = said("flow-steps", flow.renews && waits === "preview" ? "renewal" : waits);
  const item = fill("flow", { id: flow.id, what, step });
  const view = flow.kind === "issuance" ? "receive" : "consent";
  item.querySelector("a").href = `#${view}/${flow.id}`;
  return item;
}

function draw(overview) {
  const { test, under_way: flows } = overview;
  const notices = untold(overview);
  const focused = document.activeElement?.closest?.("#cards li")?.dataset.value;
  clear("cards", ...documents(overview).map((each) => row(each, test)));
  clear("under-way-list", ...flows.map(flowRow));
  $("under-way").hidden = flows.length === 0;
  $("no-cards").hidden = overview.cards.length > 0;
  $("test-wallet").hidden = !test;
  const first = notices.find((each) => URGENT.has(each.code)) ?? notices[0];
  $("to-notices").hidden = first === undefined;
  $("to-notices").className = URGENT.has(first?.code) ? "alert" : "note";
  $("to-notices").textContent = first ? said("notice-words", first.code) : "";
  if (focused) $("cards").querySelector(`[data-value="${CSS.escape(focused)}"] a`)?.focus();
}

async function look(wallet) {
  await call("POST", "/wallet/refresh");
  if (app.wallet === wallet && !$("wallet").hidden) draw(await wallet.overview());
}

async function enter() {
  const wallet = app.wallet;
  const overview = await wallet.overview();
  draw(overview);
  show("wallet");
  const known = looked.get(wallet);
  const fresh = ({ id, badge }) => badge === "not_checked" && !known.has(id);
  if (known && !overview.cards.some(fresh)) return;
  looked.set(wallet, new Set(overview.cards.map((each) => each.id)));
  // What cannot be looked up now stays as it was; the state says that it was not checked.
  look(wallet).catch(() => looked.delete(wallet));
}

onClick("close", close);

views.register("cards", { enter });
