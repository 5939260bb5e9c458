// An open wallet closes when it is not used (WALLET_SECURITY 2). Nobody is hurried by that: before it
// does, the page says so, and one press keeps it open (WCAG 2.2.1). What was begun is there again
// after the next opening.

import { app, opened, route } from "./app.js";
import { $, busy } from "./page.js";
import { Wallet, session } from "./wallet.js";

const AHEAD = 120_000;

let timers = [];
let before; // what had the focus

function stop() {
  for (const each of timers) clearTimeout(each);
  timers = [];
  $("closing").hidden = true;
}

const idleEnd = () => session.used + session.idle * 1000;
const lastEnd = () => session.began + session.seconds * 1000;

export function watch() {
  stop();
  if (app.wallet === undefined) return;
  const left = Math.max(0, Math.min(idleEnd(), lastEnd()) - performance.now());
  timers = [setTimeout(warn, left - Math.min(AHEAD, left / 2)), setTimeout(over, left)];
}

function warn() {
  if (app.wallet !== undefined) $("closing").hidden = false;
}

// What it showed is out of sight; who opens it again is where they were.
function over() {
  stop();
  if (app.wallet === undefined) return;
  dispatchEvent(new Event("walletclosed"));
  route();
}

// Near its last end it takes the passkey once more.
async function stay() {
  if (lastEnd() - performance.now() <= AHEAD) await opened(await Wallet.open());
  else await app.wallet.overview();
}

$("stay-open").addEventListener("click", async () => {
  await busy(stay);
  before?.focus(); // buttons rest until now
});

$("closing").addEventListener("focusin", ({ relatedTarget }) => {
  before = relatedTarget ?? before;
});

addEventListener("walletused", watch);
addEventListener("walletclosed", stop);
