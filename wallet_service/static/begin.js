// A new wallet: its passkey, its two codes, the proof that the recovery code was kept.

import { app, end, go, opened, route, views } from "./app.js";
import { $, announce, onClick, onSubmit, said, save, show, wrong } from "./page.js";
import { Wallet } from "./wallet.js";

let begun = false; // here and now: its codes can still be shown
let then; // what goes on after the proof
let beside; // what answers the offer that led here, if the same press may do it

export async function begin() {
  const { opened: wallet, codes } = await Wallet.begin(document.documentElement.lang);
  $("recovery-code").textContent = codes.recovery;
  $("revocation-code").textContent = codes.revocation;
  begun = true;
  await opened(wallet);
  then = () => (location.hash ? end() : route()); // on to what led here
  askBack();
  if (app.entry === "offer" && !location.hash) readOffer();
}

// Meanwhile the offer that led here is read: if it leads to the agency's own sign-in, it stands beside
// the codes, and the press that says they are kept answers it, too (ADR 0029).
async function readOffer() {
  try {
    const receive = await import("./receive.js");
    if ((await receive.leadsToSignIn()) && begun) beside = receive.answer;
  } catch {
    return; // what is wrong with it is told when its own view reads it again
  }
  label();
}

function label() {
  for (const id of ["beside", "both-and-accept", "prove-only"]) $(id).hidden = beside === undefined;
  $("both").hidden = !begun || beside !== undefined;
}

function forget() {
  begun = false;
  beside = undefined;
  $("recovery-code").textContent = "";
  $("revocation-code").textContent = "";
  $("typed-code").value = "";
  wrong("typed-code");
  cover(false);
}

// What is typed back comes from where it was written down, not from the screen.
function cover(covered) {
  $("codes").classList.toggle("is-covered", covered);
  $("covered").hidden = !covered;
  $("show-codes").hidden = !covered;
}

function sheet() {
  const texts = ["recovery-name", "recovery-code", "revocation-name", "revocation-code"];
  const lines = texts.map((each) => $(each).textContent);
  return [document.title, location.origin, "", ...lines, "", $("codes-warning").textContent, ""].join("\n");
}

$("print-codes").addEventListener("click", () => print());
$("save-codes").addEventListener("click", () => save("citizen-wallet-codes.txt", sheet()));
onClick("copy-codes", async () => {
  await navigator.clipboard.writeText(sheet());
  announce(said("code-words", "copied"));
});

function askBack() {
  for (const each of document.querySelectorAll("#codes .once")) each.hidden = !begun;
  for (const each of document.querySelectorAll("#codes .later")) each.hidden = begun;
  label();
  show("codes");
}

$("typed-code").addEventListener("input", () => {
  if (begun && $("show-codes").hidden) cover(true);
});
$("show-codes").addEventListener("click", () => {
  cover(false);
  askBack();
});

const WRONG = new Set(["not_a_code", "not_found"]);

onSubmit(
  "prove-form",
  async ({ submitter }) => {
    try {
      await app.wallet.proveRecovery($("typed-code").value);
    } catch (error) {
      if (!WRONG.has(error.code)) throw error;
      wrong("typed-code", said("code-words", error.code));
      return;
    }
    const answer = beside;
    forget();
    if (answer) await answer(submitter.id === "prove-code");
    else then();
  },
  askBack,
);

// The recovery code of a wallet that is there already; then on with an offer that waits for it.
function enter(issuance) {
  then = issuance === undefined ? end : () => go("receive", issuance);
  askBack();
}

views.register("begin", { enter, leave: forget });
