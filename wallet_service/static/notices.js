// What needs doing, and what its citizen should know: about documents, and about who can open the
// wallet. What was seen on this device and was oneself is not shown here again.

import { app, go, views } from "./app.js";
import { clear, listed, moment, ways } from "./faces.js";
import { $, busy, day, fill, said, show } from "./page.js";
import { remember, untold } from "./told.js";
import { call } from "./wallet.js";

const ACTS = {
  second_unlocker_needed: ["prove"],
  recovery_begun: ["stop"],
  unlocker_added: ["unlockers", "known"],
  recovered: ["unlockers", "known"],
  code_replaced: ["unlockers", "known"],
  card_suspended: ["card"],
};
const OF_A_CARD = ["renew", "card"];

const DO = {
  stop: () => call("DELETE", "/recovery"),
  known: ({ seq }) => remember(app.wallet.id, seq),
  renew: async ({ card }) => {
    const flow = await call("POST", `/credentials/${card}/renewal`);
    if (flow.step !== "stored") go("receive", flow.id);
    return flow.step === "stored";
  },
};

function act(notice, code) {
  const template = $("notice-acts").content.querySelector(`[data-code="${code}"]`);
  const found = template.cloneNode(true);
  if (code === "card") found.href = `#card/${notice.card}`;
  if (DO[code]) {
    found.addEventListener("click", () =>
      busy(async () => {
        if ((await DO[code](notice)) !== false) await enter();
      }),
    );
  }
  return found;
}

function text(notice) {
  const words = notice.next_step ?? said("notice-texts", notice.code) ?? "";
  const when = notice.time ?? notice.not_before;
  if (when) return `${words} ${moment(when)}`;
  return notice.expires_at ? `${words} ${day(notice.expires_at)}` : words;
}

async function section(notice) {
  const about = listed(notice.name, notice.issuer, notice.text);
  const found = fill("notice", {
    title: said("notice-words", notice.code) ?? notice.code,
    about,
    text: text(notice),
  });
  if (["recovery_begun", "wallet_frozen"].includes(notice.code)) found.className = "alert";
  found.querySelector("p").hidden = about === "";
  if (notice.card) {
    const { contacts } = await call("GET", `/credentials/${notice.card}`);
    found.querySelector("ul").append(...ways(contacts.support));
  }
  const acts = ACTS[notice.code] ?? (notice.card ? OF_A_CARD : []);
  found.querySelector(".actions").append(...acts.map((code) => act(notice, code)));
  return found;
}

async function enter() {
  const notices = untold(await app.wallet.overview());
  clear("notice-list", ...(await Promise.all(notices.map(section))));
  $("no-notices").hidden = notices.length > 0;
  show("notices");
}

views.register("notices", { enter });
