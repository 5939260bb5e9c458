// The first screen of an open wallet.

import { app, close, views } from "./app.js";
import { $, fill, onClick, show } from "./page.js";

async function enter() {
  const { cards } = await app.wallet.overview();
  $("cards").replaceChildren(...cards.map((each) => fill("card", each)));
  $("no-cards").hidden = cards.length > 0;
  show("wallet");
}

onClick("close", close);

views.register("cards", { enter });
