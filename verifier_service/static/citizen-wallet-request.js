// <citizen-wallet-request start="/wallet/start"></citizen-wallet-request>
//
// "Prove it with your wallet" for any web page: a button for the wallet on this device, a QR code
// for the one on another. The page's own server begins each request with the verifier and answers
// `start` (POST, {"flow": "same_device" | "cross_device"}) with {"page": "https://…"}: that address
// is all a browser gets to know. No secret, token or claim is here; what was proven reaches the
// server, and this element only says how it ended:
//
//   element.addEventListener("citizen-wallet-result", event => event.detail.state);
//                                       // "verified", "rejected", "refused" or "expired"
//
// Attributes: start; lang (else that of the page); only ("same_device" or "cross_device").
// Parts to style: buttons, button, main, code, hint, status, and beside it verified, rejected …
// Property: --citizen-wallet-color.

const TEXTS = {
  en: {
    here: "Use the wallet on this device",
    other: "Use the wallet on another device",
    again: "Show a new code",
    code: "QR code: scan it with your wallet",
    scan: "Scan this code with the wallet on your phone. Decide there, then look here again.",
    busy: "One moment …",
    created: "Waiting for your phone.",
    requested: "Your wallet has the request. Decide there.",
    away: "Your wallet has not answered yet. You can begin again.",
    unanswered: "Your wallet gave no answer. You can try again, or open another wallet.",
    offline: "There is no connection. It goes on by itself.",
    failed: "That did not work. Please try again.",
    verified: "Done: your wallet has answered, and the answer is valid.",
    rejected: "The answer of your wallet could not be accepted. You can try again.",
    refused: "You declined. Nothing was shared. You can try again.",
    expired: "The time is up. Nothing was shared. You can try again.",
  },
  de: {
    here: "Brieftasche auf diesem Gerät verwenden",
    other: "Brieftasche auf einem anderen Gerät verwenden",
    again: "Neuen Code zeigen",
    code: "QR-Code: mit Ihrer Brieftasche scannen",
    scan: "Scannen Sie diesen Code mit der Brieftasche auf Ihrem Telefon. Entscheiden Sie dort, und sehen Sie dann wieder hierher.",
    busy: "Einen Augenblick …",
    created: "Warten auf Ihr Telefon.",
    requested: "Ihre Brieftasche hat die Anfrage. Entscheiden Sie dort.",
    away: "Ihre Brieftasche hat noch nicht geantwortet. Sie können von vorn beginnen.",
    unanswered: "Von Ihrer Brieftasche kam keine Antwort. Versuchen Sie es noch einmal, oder öffnen Sie eine andere.",
    offline: "Es besteht keine Verbindung. Es geht von selbst weiter.",
    failed: "Das hat nicht geklappt. Bitte versuchen Sie es noch einmal.",
    verified: "Fertig: Ihre Brieftasche hat geantwortet, und die Antwort ist gültig.",
    rejected: "Die Antwort Ihrer Brieftasche konnte nicht angenommen werden. Sie können es noch einmal versuchen.",
    refused: "Sie haben abgelehnt. Es wurde nichts gezeigt. Sie können es noch einmal versuchen.",
    expired: "Die Zeit ist abgelaufen. Es wurde nichts gezeigt. Sie können es noch einmal versuchen.",
  },
  fr: {
    here: "Utiliser le portefeuille sur cet appareil",
    other: "Utiliser le portefeuille sur un autre appareil",
    again: "Afficher un nouveau code",
    code: "Code QR : à scanner avec votre portefeuille",
    scan: "Scannez ce code avec le portefeuille de votre téléphone. Décidez là-bas, puis revenez ici.",
    busy: "Un instant …",
    created: "En attente de votre téléphone.",
    requested: "Votre portefeuille a reçu la demande. Décidez là-bas.",
    away: "Votre portefeuille n’a pas encore répondu. Vous pouvez recommencer.",
    unanswered: "Votre portefeuille n’a pas répondu. Vous pouvez réessayer ou ouvrir un autre portefeuille.",
    offline: "Pas de connexion. La suite viendra d’elle-même.",
    failed: "Cela n’a pas fonctionné. Veuillez réessayer.",
    verified: "Terminé : votre portefeuille a répondu, et la réponse est valable.",
    rejected: "La réponse de votre portefeuille n’a pas pu être acceptée. Vous pouvez réessayer.",
    refused: "Vous avez refusé. Rien n’a été partagé. Vous pouvez réessayer.",
    expired: "Le délai est écoulé. Rien n’a été partagé. Vous pouvez réessayer.",
  },
  ar: {
    here: "استخدام المحفظة على هذا الجهاز",
    other: "استخدام المحفظة على جهاز آخر",
    again: "إظهار رمز جديد",
    code: "رمز QR: امسحه بمحفظتك",
    scan: "امسح هذا الرمز بالمحفظة على هاتفك. قرّر هناك، ثم عُد إلى هنا.",
    busy: "لحظة من فضلك …",
    created: "في انتظار هاتفك.",
    requested: "وصل الطلب إلى محفظتك. قرّر هناك.",
    away: "لم تُجب محفظتك بعد. يمكنك البدء من جديد.",
    unanswered: "لم تُجب محفظتك. يمكنك المحاولة مرة أخرى أو فتح محفظة أخرى.",
    offline: "لا يوجد اتصال. سيستمر الأمر تلقائيًا.",
    failed: "لم ينجح ذلك. يُرجى المحاولة مرة أخرى.",
    verified: "تم: أجابت محفظتك، والإجابة صالحة.",
    rejected: "تعذّر قبول إجابة محفظتك. يمكنك المحاولة مرة أخرى.",
    refused: "لقد رفضت. لم تتم مشاركة أي شيء. يمكنك المحاولة مرة أخرى.",
    expired: "انتهى الوقت. لم تتم مشاركة أي شيء. يمكنك المحاولة مرة أخرى.",
  },
};

const STYLE = `
:host { display: block; --color: var(--citizen-wallet-color, #17509a); --on: #fff; }
@supports (color: light-dark(#000, #fff)) {
  :host {
    --color: var(--citizen-wallet-color, light-dark(#17509a, #92c0fa));
    --on: light-dark(#fff, #0a1a2e);
  }
}
:host([hidden]), [hidden] { display: none !important; }
.buttons { display: flex; flex-wrap: wrap; gap: 0.75rem; }
button {
  box-sizing: border-box;
  min-block-size: 2.75rem;
  max-inline-size: 100%;
  padding: 0.5rem 1.25rem;
  border: 2px solid var(--color);
  border-radius: 0.375rem;
  background: transparent;
  color: var(--color);
  font: inherit;
  font-weight: 600;
  cursor: pointer;
}
button.main { background: var(--color); color: var(--on); }
button[aria-disabled="true"] { opacity: 0.6; cursor: progress; }
button:focus-visible, p:focus-visible { outline: 3px solid var(--color); outline-offset: 3px; }
.code { inline-size: min(18rem, 100%); margin-block: 1rem 0; border-radius: 0.5rem; overflow: hidden; }
.code svg { display: block; }
p { margin-block: 0.75rem 0; }
p:empty { margin: 0; }
@media (forced-colors: active) { button { border-color: ButtonText; color: ButtonText; } }
`;

const ENDS = new Set(["verified", "rejected", "refused", "expired"]);
const PAUSE = 1500; // ms between two looks at an open request
const WAIT = 10_000; // ms for one of them

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

function node(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// The address of a request's page; nothing that runs or shows content, and nothing in the clear.
function address(text) {
  const url = new URL(text);
  const local = url.protocol === "http:" && ["localhost", "127.0.0.1"].includes(url.hostname);
  if (url.protocol !== "https:" && !local) throw new TypeError("page: not a web address");
  return url.href;
}

// Whether this browser finds wallets by itself (W3C Digital Credentials API).
function finds() {
  return "DigitalCredential" in window && Boolean(navigator.credentials);
}

// Whether the wallet is more likely here than elsewhere.
function direct() {
  return finds() || matchMedia("(pointer: coarse)").matches;
}

function random() {
  const bytes = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

class CitizenWalletRequest extends HTMLElement {
  static observedAttributes = ["lang", "only"];

  #here = node("button", { type: "button", id: "here" });
  #other = node("button", { type: "button", id: "other" });
  #code = node("div", { class: "code", part: "code", id: "code", role: "img", hidden: "" });
  #hint = node("p", { part: "hint", id: "hint" });
  #status = node("p", { part: "status", id: "status", role: "status", tabindex: "-1" });
  #request = null; // {page, flow, until}: what a reload has to know
  #view = "idle"; // what the texts speak of: idle, busy, failed, offline, away, or a state
  #drawn = ""; // the link in the QR code
  #timer = 0;
  #looking = null;
  #asking = false; // the browser's wallet
  #asked = false; // in vain: the page of the request knows other wallets, too

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    const buttons = node("div", { class: "buttons", part: "buttons" }, this.#here, this.#other);
    root.append(node("div", { id: "all" }, buttons, this.#code, this.#hint, this.#status));
    this.#here.addEventListener("click", () => this.#begin("same_device"));
    this.#other.addEventListener("click", () => this.#begin("cross_device"));
  }

  connectedCallback() {
    const [first, second] = direct() ? [this.#here, this.#other] : [this.#other, this.#here];
    first.parentElement.replaceChildren(first, second);
    document.addEventListener("visibilitychange", this.#look);
    window.addEventListener("pageshow", this.#look);
    this.#request = this.#recall();
    this.#show("idle");
    this.#look();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#look);
    window.removeEventListener("pageshow", this.#look);
    clearTimeout(this.#timer);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#show(this.#view);
  }

  async #begin(flow) {
    if (this.#view === "busy") return;
    clearTimeout(this.#timer);
    this.#forget();
    this.#show("busy");
    try {
      const answer = await fetch(this.getAttribute("start"), {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ flow }),
      });
      if (!answer.ok) throw new TypeError(`start: ${answer.status}`);
      const page = address((await answer.json()).page);
      this.#remember({ page, flow, until: Date.now() + 600_000 });
      if (flow === "cross_device") await this.#look();
      else if (finds() && !this.#asked) await this.#ask(page);
      else location.assign(page);
    } catch (error) {
      console.warn(`citizen-wallet-request: ${error.message}`);
      this.#forget();
      this.#show("failed");
    }
  }

  // The browser's own wallet. A ticket that never leaves this memory but for the verifier stands for
  // the start cookie, which is not sent from another site: who asked is the one who answers.
  async #ask(page) {
    const ticket = random();
    const post = async (path, fields) => {
      const body = new URLSearchParams({ ticket, ...fields });
      const answer = await fetch(`${page}/embedded/${path}`, { method: "POST", body, credentials: "omit" });
      if (!answer.ok) throw new TypeError(`${path}: ${answer.status}`);
      return answer.json();
    };
    const digital = await post("request", {});
    let credential = null;
    this.#asking = true;
    try {
      credential = await navigator.credentials.get({ mediation: "required", digital });
    } catch (error) {
      console.warn(`citizen-wallet-request: ${error.name}`);
      this.#asked = true;
      this.#forget();
      this.#show("unanswered");
      return;
    } finally {
      this.#asking = false;
    }
    const data = typeof credential.data === "string" ? JSON.parse(credential.data) : credential.data;
    try {
      const answer = await post("answer", { response: data.response });
      location.assign(address(answer.redirect_uri));
    } catch {
      await this.#look(); // it was not accepted: the state says so
    }
  }

  // Asks the verifier how far the request is; again after a while, until it has ended.
  #look = async () => {
    clearTimeout(this.#timer);
    const request = this.#request;
    if (request === null || this.#asking || document.hidden || this.#looking === request) return;
    this.#looking = request;
    let seen = null;
    try {
      const signal = AbortSignal.timeout(WAIT);
      const answer = await fetch(`${request.page}/state`, { credentials: "omit", cache: "no-store", signal });
      if (answer.ok) seen = await answer.json();
    } catch {
      seen = null; // offline, or nothing is known there any more
    }
    try {
      if (seen?.link) await this.#draw(seen.link);
    } catch (error) {
      console.warn(`citizen-wallet-request: ${error.message}`); // the policy of the page, say
      this.#forget();
      this.#show("failed");
      return;
    }
    this.#looking = null;
    if (this.#request !== request || !this.isConnected) return;
    if (seen) request.until = Date.parse(seen.expires_at);
    const state = seen?.state ?? (Date.now() > request.until + PAUSE ? "expired" : "offline");
    if (ENDS.has(state)) this.#end(state);
    else {
      const known = state === "offline" || request.flow === "cross_device";
      this.#show(known ? state : "away");
      this.#remember(request);
      this.#timer = setTimeout(this.#look, PAUSE);
    }
  };

  #end(state) {
    const within = this.shadowRoot.activeElement !== null;
    this.#forget();
    this.#show(state);
    if (within && state === "verified") this.#status.focus();
    const detail = { state };
    this.dispatchEvent(
      new CustomEvent("citizen-wallet-result", { detail, bubbles: true, composed: true }),
    );
  }

  async #draw(link) {
    if (link === this.#drawn) return;
    const { drawQr } = await import("./qr-image.js");
    drawQr(this.#code, link);
    this.#drawn = link;
  }

  #show(view) {
    this.#view = view;
    const language = this.#language();
    const texts = TEXTS[language];
    const open = this.#drawn !== "" && this.#request !== null;
    const only = this.getAttribute("only");
    this.#button(this.#here, texts.here, direct() && !open, view, only === "cross_device");
    this.#button(this.#other, open ? texts.again : texts.other, !direct() && !open, view, only === "same_device");
    const all = this.shadowRoot.getElementById("all");
    all.lang = language;
    all.dir = language === "ar" ? "rtl" : "ltr";
    this.#code.hidden = !open;
    this.#code.setAttribute("aria-label", texts.code);
    this.#hint.textContent = open ? texts.scan : "";
    this.#status.setAttribute("part", `status ${view}`);
    const said = view === "idle" ? "" : (texts[view] ?? texts.busy);
    if (this.#status.textContent !== said) this.#status.textContent = said; // read aloud once
  }

  #button(button, text, main, view, hidden) {
    button.textContent = text;
    button.classList.toggle("main", main);
    button.setAttribute("part", main ? "button main" : "button");
    button.setAttribute("aria-disabled", String(view === "busy"));
    button.hidden = hidden || view === "verified";
  }

  #language() {
    const place = this.lang || this.closest("[lang]")?.lang || navigator.language;
    const language = place.toLowerCase().split("-")[0];
    return language in TEXTS ? language : "en";
  }

  // Kept for this tab alone, so that a reload, or the way back from a wallet, goes on.

  get #place() {
    return `citizen-wallet-request ${new URL(this.getAttribute("start") ?? "", location).href}`;
  }

  #remember(request) {
    this.#request = request;
    try {
      sessionStorage.setItem(this.#place, JSON.stringify(request));
    } catch {
      // no storage here: then a reload begins anew
    }
  }

  #recall() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.#place));
      return kept && { ...kept, page: address(kept.page) };
    } catch {
      return null;
    }
  }

  #forget() {
    this.#request = null;
    this.#drawn = "";
    this.#code.replaceChildren();
    try {
      sessionStorage.removeItem(this.#place);
    } catch {
      // as above
    }
  }
}

if (!customElements.get("citizen-wallet-request")) {
  customElements.define("citizen-wallet-request", CitizenWalletRequest);
}
