// An offer at the desk: its QR code, and its state while somebody collects it.

import { drawQr } from "./qr-image.js";

const EVERY = 3_000; // milliseconds
const FOR = 10 * 60_000; // then a session may end by itself

const picture = document.getElementById("qr");
drawQr(picture, picture.dataset.link);

const state = document.getElementById("offer-state");
const begun = performance.now();

async function look() {
  if (performance.now() - begun > FOR) return;
  if (!document.hidden) {
    const answer = await fetch(state.dataset.url, { headers: { Accept: "application/json" } }).catch(() => null);
    if (answer?.ok && !answer.redirected) {
      const found = await answer.json();
      if (found.state !== state.dataset.state) show(found);
      if (!["open", "redeemed"].includes(found.state)) return;
    }
  }
  setTimeout(look, EVERY);
}

function show(found) {
  state.dataset.state = found.state;
  state.textContent = found.text;
  state.className = `badge ${found.look}`;
  for (const id of ["offer-open", "offer-changes"]) document.getElementById(id)?.setAttribute("hidden", "");
  document.getElementById("offer-over").hidden = false;
}

setTimeout(look, EVERY);
