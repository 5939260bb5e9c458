// The counter: asks, waits for the answer, shows it in words, blanks it. What is shown comes from
// the server whole (`/now`), so a reload, another replica or a lost connection change nothing. The
// claims are in this document alone, and leave it with the answer.
import { listen } from "./news.js";
import { drawQr } from "./qr-image.js";

const $ = (id) => document.getElementById(id);
const { place, home, csrf, blankAfter } = $("counter").dataset;
const PARTS = ["choose", "asking", "answer"];
const SOON = 15; // seconds before an answer disappears
const PATIENCE = 15; // seconds for one call
const LONGEST = 15; // seconds between two tries to reach a server that is away

let shown = { visit: 0, phase: "free" }; // what the server said last
let last = null; // the question asked last: most customers are asked the same
let stream = null; // of news
let heard = ""; // the id of its last event
let tries = 0; // in vain since the last contact
let again = null; // when the next one is due
let due = null; // what it will be
let timer = null;
let turn = 0; // counts the clerk's acts: news that was asked for before the last one is old
let ends = 0; // when the time that is shown runs out, in milliseconds of this device

const words = (name) =>
  $("words").content.querySelector(`[data-said="${name}"]`).textContent;

function say(text) {
  const line = $("said");
  line.textContent = line.textContent === text ? `${text}\u00a0` : text; // said again, too
}

function put(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

function made(tag, text, ...classes) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.classList.add(...classes);
  return element;
}

// One call of ours. Whoever is not signed in any more is led to the sign-in by loading the page.
async function call(path, content, options = {}) {
  const answer = await fetch(`${place}/${path}`, {
    method: content ? "POST" : "GET",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": csrf },
    body: content ? JSON.stringify(content) : undefined,
    redirect: "manual",
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE * 1000),
    ...options,
  });
  if (answer.type === "opaqueredirect") {
    location.reload();
    await new Promise(() => {}); // nothing more happens here
  }
  const readable = (answer.headers.get("content-type") ?? "").startsWith("application/json");
  if (!readable || (!content && answer.status >= 500)) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// Shows one part, from its top; the focus goes to what is done there next.
function open(part, focused) {
  for (const each of PARTS) $(each).hidden = each !== part;
  $(part).scrollIntoView({ block: "nearest" });
  focused?.focus({ preventScroll: true });
}

function stop() {
  stream?.close();
  stream = null;
  heard = "";
  tries = 0;
  wait();
  clearInterval(timer);
}

// What was to be tried again is not, or is `act` after so many seconds.
function wait(act = null, seconds = 0) {
  clearTimeout(again);
  due = act;
  if (act) again = setTimeout(act, seconds * 1000);
}

// Runs `each` every second with the seconds that are left.
function countDown(seconds, each) {
  clearInterval(timer);
  ends = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.max(0, Math.round((ends - Date.now()) / 1000));
    if (left === 0) clearInterval(timer);
    each(left);
  };
  timer = setInterval(tick, 1000);
  tick();
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// Nothing of a customer stays in the document.
function wipe() {
  for (const id of ["facts", "cards", "reasons", "qr"]) $(id).replaceChildren();
  for (const id of ["code", "answer-question", "answer-headline", "answer-text", "answer-next"]) {
    $(id).textContent = "";
  }
  for (const id of ["answer-issuer", "answer-note", "held-back"]) put(id, "");
  for (const id of ["portrait", "accept", "accepted-because", "answer-test"]) $(id).hidden = true;
  $("portrait-picture").removeAttribute("src");
  $("checks").open = false;
  $("answer").removeAttribute("data-tone");
}

function showChoice() {
  wipe();
  open("choose", $(`question-${last}`) ?? $("choose-title"));
}

function showAsking(state) {
  wipe();
  put("asking-title", state.question.title);
  put("asking-purpose", state.question.description);
  drawQr($("qr"), state.link);
  $("code").textContent = state.code;
  showPhase(state.phase);
  open("asking", $("cancel"));
  countDown(state.seconds_left, (left) => {
    $("left").textContent = clock(left);
    if (left === 0) refresh();
  });
}

function showPhase(phase) {
  $("asking-words").textContent = words(phase);
  $("asking-state").className = `state unprinted ${phase}`;
  say(`${$("asking-title").textContent}. ${words(phase)}`);
}

function showAnswer({ question, answer }) {
  wipe();
  $("answer").dataset.tone = answer.tone;
  put("answer-question", question.title);
  put("answer-headline", answer.headline);
  put("answer-text", answer.text);
  put("answer-next", answer.next_step);
  put("answer-note", answer.note ?? "");
  put("held-back", answer.held_back ?? "");
  $("answer-test").hidden = !answer.test;
  $("accepted-because").hidden = !answer.accepted_because;
  $("accepted-reason").textContent = answer.accepted_because ?? "";
  const facts = showFacts(answer.facts);
  showChecks(answer.cards ?? []);
  showReasons(answer.may_accept ?? []);
  open("answer", $("next"));
  const test = answer.test ? $("answer-test").textContent : "";
  say([test, `${question.title}. ${answer.headline}.`, ...facts, answer.text, answer.next_step].join(" "));
  blankIn(Number(blankAfter));
}

function showFacts(facts) {
  const said = [];
  for (const { label, value, kind } of facts) {
    if (kind === "image") {
      $("portrait-picture").src = value;
      $("portrait").hidden = false;
      said.push($("portrait-words").textContent);
    } else {
      $("facts").append(made("dt", label), made("dd", value));
      said.push(`${label}: ${value}.`);
    }
  }
  return said;
}

function showChecks(cards) {
  const issuers = new Set(cards.map(({ issuer }) => issuer).filter(Boolean));
  put("answer-issuer", issuers.size ? `${words("issuer")}: ${[...issuers].join(", ")}` : "");
  $("checks").hidden = cards.length === 0;
  for (const { issuer, checks } of cards) {
    if (cards.length > 1) $("cards").append(made("p", issuer));
    const list = document.createElement("ul");
    for (const each of checks) {
      const line = document.createElement("li");
      line.append(made("span", each.check), made("span", each.said, each.result));
      list.append(line);
    }
    $("cards").append(list);
  }
}

function showReasons(reasons) {
  $("accept").hidden = reasons.length === 0;
  for (const { code, text } of reasons) {
    const label = made("label", "", "choice");
    const choice = document.createElement("input");
    Object.assign(choice, { type: "radio", name: "reason", value: code, required: true });
    label.append(choice, made("span", text));
    $("reasons").append(label);
  }
}

function blankIn(seconds) {
  let warned = false;
  countDown(seconds, (left) => {
    $("blank-left").textContent = `${left} ${words("seconds")}`;
    if (left <= SOON && !warned) {
      warned = true;
      say(words("soon"));
    }
    if (left === 0) next("blanked");
  });
}

function show(state) {
  const first = !begun;
  if (first) begun = allowQuestions();
  if (state.trouble) {
    showTrouble(state.trouble);
    return;
  }
  put("trouble-headline", "");
  $("trouble").hidden = true;
  if (shown.visit !== state.visit) stop(); // another tab has gone on
  const back = !$("away").hidden;
  $("away").hidden = true;
  const same = shown.visit === state.visit && shown.phase !== "free";
  const open_ = state.phase === "waiting" || state.phase === "opened";
  if (open_ && same && !$("asking").hidden) {
    if (shown.phase !== state.phase) showPhase(state.phase);
    else if (back) say(words("back"));
  } else if (open_) {
    showAsking(state);
  } else if (state.phase === "answered") {
    if (same && shown.code === state.answer.code) return; // it stands there already
    stop();
    showAnswer(state);
  } else {
    stop();
    // Whoever chooses already keeps the place.
    if (first || shown.phase !== "free" || $("choose").hidden) showChoice();
    if (back) say(words("back"));
  }
  if (state.question) last = state.question.id;
  shown = { visit: state.visit, phase: state.phase, code: state.answer?.code };
  if (open_) follow();
}

function showTrouble({ code, headline, text, next_step }) {
  if (code === "desk_taken") location.assign(home);
  stop();
  showChoice();
  put("trouble-headline", headline);
  put("trouble-text", text);
  put("trouble-next", next_step);
  $("trouble").hidden = false;
  say([headline, text, next_step].join(" "));
}

function showBroken() {
  showTrouble({ headline: words("broken"), text: "", next_step: words("broken-next") });
}

// News of this visit, from whichever replica answers, after the last that came.
async function follow() {
  if (stream) return;
  const mine = listen(`${place}/events?visit=${shown.visit}`, {
    after: heard,
    each: (id) => {
      heard = id;
      refresh();
    },
    alive: () => {
      tries = 0;
    },
  });
  stream = mine;
  const how = await mine.ended;
  if (how === "closed") return;
  stream = null;
  later(refresh, how === "lost");
}

// Tries again, after 1, 2, 4 … seconds; not all desks at the same moment.
function later(act, lost = true) {
  if (lost && $("away").hidden) {
    $("away").hidden = false;
    say($("away").textContent);
  }
  wait(act, Math.min(LONGEST, 2 ** tries) * (0.75 + Math.random() / 2));
  tries += 1;
}

async function refresh() {
  wait();
  const mine = turn;
  try {
    const state = await call("now");
    if (mine === turn) show(state);
  } catch {
    if (mine === turn) later(refresh);
  }
}

// One act of the clerk at a time; only leaving the customer waits for no other, and is tried again
// until the server has heard of it.
let busy = false;
async function act(path, content) {
  if (busy && path !== "clear") return;
  busy = true;
  turn += 1;
  const mine = turn;
  wait();
  try {
    const state = await call(path, content);
    sessionStorage.removeItem(place);
    if (mine === turn) show(state);
  } catch {
    if (mine !== turn) return;
    if (path !== "clear") showBroken();
    later(begin, path === "clear");
  } finally {
    if (mine === turn) busy = false;
  }
}

let clearing = Promise.resolve(); // a question chosen meanwhile waits for it and is not lost
let wanted = 0; // of several chosen meanwhile the last one is meant

// The screen is blank before anybody is asked: the network may be slow, the next customer is not.
async function next(why = "free") {
  wanted += 1;
  if (shown.phase === "free") return;
  stop();
  const { visit } = shown;
  sessionStorage.setItem(place, visit);
  shown = { visit, phase: "free" };
  showChoice();
  say(words(why));
  clearing = act("clear", { visit });
  await clearing;
}

// Before the server has said where this desk stands, a press would be lost, or its focus moved.
let begun = false;
function allowQuestions() {
  for (const button of document.querySelectorAll("[data-query]")) button.disabled = false;
  return true;
}

// What this tab does first, and after a failure: whoever was left is forgotten before all else.
function begin() {
  const left = sessionStorage.getItem(place);
  if (left === null) refresh();
  else act("clear", { visit: Number(left) });
}

// Whoever leaves an answer, or loads the page again, does not find it again: the server is told,
// and this tab remembers it, as the next page may be faster.
function leave() {
  turn += 1;
  stop();
  if (shown.phase !== "answered") return;
  wipe();
  open("choose");
  const { visit } = shown;
  sessionStorage.setItem(place, visit);
  shown = { visit, phase: "free" };
  call("clear", { visit }, { keepalive: true }).catch(() => {});
}

for (const button of document.querySelectorAll("[data-query]")) {
  button.addEventListener("click", async () => {
    last = button.dataset.query;
    wanted += 1;
    const mine = wanted;
    button.ariaBusy = "true";
    await clearing;
    if (mine === wanted) await act("ask", { query: last });
    button.ariaBusy = null;
  });
}
$("cancel").addEventListener("click", () => next());
$("next").addEventListener("click", () => next());
$("keep").addEventListener("click", () => {
  blankIn(Math.round((ends - Date.now()) / 1000) + Number(blankAfter));
  say(words("longer"));
});
$("accept").addEventListener("submit", (event) => {
  event.preventDefault();
  const reason = new FormData($("accept")).get("reason");
  act("accept", { visit: shown.visit, reason });
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.repeat && !event.isComposing) next();
});
addEventListener("pagehide", leave);
// A network that is back, or a tablet that wakes up, is not kept waiting.
addEventListener("online", () => due?.());
document.addEventListener("visibilitychange", () => document.hidden || due?.());
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

begin();
