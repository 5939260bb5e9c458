// What would be shown, to be chosen from: sets of documents, cards that answer, claims with values.
// What is optional is off; of alternatives one is on; only what would be sent is in sight.

import { listed } from "./faces.js";
import { $, claimShown, fill, said } from "./page.js";
import { canonical } from "./vault.js";

// What the page says of one card: its claims by path, and what goes with it in any case.
export function choices(model, query, credential) {
  const options = model.credentials.find((each) => each.query === query)?.options ?? [];
  const option = options.find((each) => each.credential === credential);
  const claims = option?.claims ?? [];
  const always = option?.always_disclosed ?? [];
  return {
    claims: new Set(claims.map((each) => canonical(each.path))),
    always: new Set([...claims, ...always].map((each) => each.path[0])),
  };
}

function claimRow(claim, mark) {
  const row = claimShown(claim.kind === "image" ? claim : { ...claim, value: claim.text ?? claim.value });
  if (mark) {
    row.querySelector("dd").append($("marks").content.querySelector(`.${mark}`).cloneNode(true));
  }
  return row;
}

// What a citizen sees of a way: of several formats of one document one is offered to choose.
const looks = (way) => canonical(way.flatMap((each) => each.options.map((it) => [it.name, from(it)])));

const from = (option) => [option.issuer, option.badge_text].filter(Boolean).join(" · ");

function optionRow(query, option, group, checked) {
  const row = fill("option", { ...option, from: from(option) });
  const input = row.querySelector(".chosen");
  input.type = query.multiple ? "checkbox" : "radio";
  input.name = group;
  input.value = option.credential;
  input.checked = checked;
  input.hidden = query.options.length === 1;
  const cautions = row.querySelector(".card-warnings");
  cautions.append(...option.warnings.map((each) => fill("warning", each)));
  row.querySelector(".claims").append(
    ...option.claims.map((each) => claimRow(each, each.entitled ? "" : "unentitled")),
    ...option.always_disclosed.map((each) => claimRow(each, "always")),
  );
  return row;
}

function queryRow(query, group) {
  const row = fill("query", query);
  const legend = row.querySelector("legend");
  legend.textContent = said("set-words", query.multiple ? "cards" : "card");
  legend.hidden = query.options.length === 1;
  const chosen = query.chosen.length ? query.chosen : [query.options[0].credential];
  row.append(
    ...query.options.map((each) =>
      optionRow(query, each, `${group}-${query.query}`, chosen.includes(each.credential)),
    ),
  );
  return row;
}

// One way to meet a set: behind a radio or checkbox of its own, unless there is no choice.
function wayRow(queries, group, pick) {
  const row = document.createElement("div");
  row.className = "way";
  if (pick) {
    const label = fill("pick", pick);
    const input = label.querySelector("input");
    Object.assign(input, { type: pick.type, name: group, className: "use", checked: pick.checked });
    row.classList.toggle("named", pick.from !== undefined); // the card's name stands there already
    row.append(label);
  }
  row.append(...queries.map((each) => queryRow(each, group)));
  return row;
}

function setRow(set, at, byId) {
  const group = `set-${at}`;
  const all = set.options.map((ids) => ids.map((id) => byId.get(id)));
  const best = all.find((way) => way.every((each) => each.chosen.length > 0));
  const first = (way) => [best, ...all].find((each) => each && looks(each) === looks(way));
  const ways = all.filter((way) => way === first(way));
  const proposed = ways.indexOf(best);
  if (set.required && ways.length === 1) {
    const row = wayRow(ways[0], group);
    row.classList.add("card");
    return row;
  }
  const row = fill("set", {});
  const legend = row.querySelector("legend");
  if (ways.length === 1) {
    const text = said("set-words", "use");
    legend.remove();
    row.append(wayRow(ways[0], group, { type: "checkbox", text, checked: proposed === 0 }));
    return row;
  }
  legend.textContent = said("set-words", set.required ? "one" : "extra");
  row.append(
    ...ways.map((way, number) => {
      const text = way.map((each) => each.options[0].name).join(" + ");
      const [only, ...others] = way.flatMap((each) => each.options);
      const pick = { type: "radio", text, checked: number === proposed };
      return wayRow(way, group, others.length ? pick : { ...pick, from: from(only) });
    }),
  );
  if (!set.required) {
    const text = said("set-words", "none");
    row.append(wayRow([], group, { type: "radio", text, checked: proposed === -1 }));
  }
  return row;
}

// Everything there is to choose from.
export function rows(model) {
  const byId = new Map(model.credentials.map((each) => [each.query, each]));
  const sets = model.sets.filter((each) => each.options.length > 0);
  const found = sets.map((each, at) => setRow(each, at, byId));
  for (const each of found) onlyWhatIsSent(each);
  return found;
}

const inUse = (way) => way.querySelector(".use")?.checked ?? true;

// Claims of what is not chosen are out of sight.
function onlyWhatIsSent(place) {
  for (const way of [place, ...place.querySelectorAll(".way")].filter((e) => e.matches(".way"))) {
    const optional = way.querySelector(".use")?.type === "checkbox";
    for (const query of way.querySelectorAll(".query")) {
      query.hidden = !inUse(way) && !optional;
      for (const option of query.querySelectorAll(".option")) {
        const chosen = option.querySelector(".chosen").checked;
        option.querySelector(".claims").hidden = !chosen;
        option.querySelector(".card-warnings").hidden = !chosen || !inUse(way);
      }
    }
  }
}

$("documents").addEventListener("change", () => onlyWhatIsSent($("documents")));

// The citizen's choice: card ids by query.
export function picks() {
  const chosen = {};
  for (const way of $("documents").querySelectorAll(".way")) {
    if (!inUse(way)) continue;
    for (const query of way.querySelectorAll(".query")) {
      const inputs = [...query.querySelectorAll(".chosen:checked")];
      if (inputs.length) chosen[query.dataset.value] ??= inputs.map((each) => each.value);
    }
  }
  return chosen;
}
