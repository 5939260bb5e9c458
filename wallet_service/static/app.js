// The wallet as one document: which view is shown, and the wallet that is open meanwhile.
// A view is chosen by the fragment (`#card/<id>`), which no server sees; each has its own module,
// loaded when it is first needed. What led here (`/`, `/offer`, `/callback`, `/authorize`) decides
// the first view; one that needs the open wallet waits behind the view `open`.

import { $, busy, retryBy, show } from "./page.js";
import { untold } from "./told.js";
import { Refused, call } from "./wallet.js";

const VIEWS = new Set(
  "open begin recover cards card scan receive consent notices history unlockers newcode settings export import".split(" "),
);
const TASKS = new Set(["open", "begin", "recover", "receive", "consent"]); // nothing beside them
const FIRST = { start: "cards", offer: "receive", callback: "receive", authorize: "consent" };

export const app = {
  entry: $("app").dataset.entry,
  ticket: $("app").dataset.ticket,
  wallet: undefined, // a Wallet of wallet.js while it is open
  install: undefined, // the browser's offer to install the app, if it makes one
};

// -- Views ---------------------------------------------------------------------------------------

const known = new Map();

export const views = {
  // A view: `enter(...parameters)` shows one of its parts, `leave()` ends what runs on (a camera);
  // `closed: true` says that it is shown without an open wallet, too.
  register(id, view) {
    known.set(id, view);
  },
};

let current;

// In an open wallet its sections are there to go to; a task is alone with its question.
function atHome(home) {
  $("sections").hidden = !home;
  document.body.classList.toggle("opened", home);
}

async function load(id) {
  try {
    if (!known.has(id)) await import(`./${id}.js`);
  } catch (error) {
    throw navigator.onLine ? error : new Refused("no_answer");
  }
  return known.get(id);
}

async function enter(id, parameters) {
  const closed = app.wallet === undefined;
  let view = await load(id);
  if (closed && !view.closed) view = await load("open");
  current?.leave?.();
  current = view;
  atHome(!closed && !TASKS.has(id));
  for (const each of document.querySelectorAll("#sections a")) {
    if (each.hash === `#${id}`) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  await view.enter(...parameters);
}

function wanted() {
  let parts;
  try {
    parts = location.hash.slice(1).split("/").map(decodeURIComponent);
  } catch {
    parts = [];
  }
  return VIEWS.has(parts[0]) ? parts : [FIRST[app.entry]];
}

let queue = Promise.resolve();

// Enter the view that the address names, after whatever is being entered.
export function route() {
  queue = queue.then(() => {
    const [id, ...parameters] = wanted();
    return busy(() => enter(id, parameters), route);
  });
  return queue;
}

const place = (id, parameters) => `#${[id, ...parameters].map(encodeURIComponent).join("/")}`;

// Another view, with a way back to this one.
export function go(id, ...parameters) {
  const hash = place(id, parameters);
  if (location.hash === hash) route();
  else location.hash = hash;
}

// Another view instead of this one; what led here (an offer, a request) is over.
export function end(id = "cards", ...parameters) {
  app.entry = "start";
  history.replaceState(null, "", `/${place(id, parameters)}`);
  route();
}

// -- The open wallet -----------------------------------------------------------------------------

// A wallet was opened or begun: its texts come in the language of this page from now on.
export async function opened(wallet) {
  const overview = await wallet.overview();
  app.wallet = wallet;
  const locale = document.documentElement.lang;
  if (overview.locale !== locale) await call("POST", "/wallet/locale", { locale });
  const { watch } = await import("./time.js");
  watch();
  return overview;
}

export async function close() {
  await call("DELETE", "/sessions/current");
  app.wallet = undefined;
  end();
}

addEventListener("walletclosed", () => {
  app.wallet = undefined;
  atHome(false);
});

addEventListener("walletread", ({ detail }) => {
  const { length } = untold(detail);
  $("notice-count").textContent = length;
  $("notice-count").hidden = length === 0;
});

addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  app.install = event;
});

addEventListener("hashchange", route);
$("skip-link").addEventListener("click", (event) => {
  event.preventDefault(); // its fragment is no view
  $("content").focus();
});
retryBy(route);
show("working");
route().then(async () => {
  const { keepShell } = await import("./shell.js");
  await keepShell($("app").dataset.version, document.documentElement.lang);
});
