// Which notices this device was told already: what its citizen answered "that was me" to. Formats of
// one document are one to people: what happened to it is said once.

const key = (wallet) => `notices/${wallet}`;
const known = (wallet) => new Set(JSON.parse(localStorage.getItem(key(wallet)) ?? "[]"));

export function untold({ wallet, notices, documents }) {
  const seen = known(wallet);
  const of = ({ code, card }) => `${code} ${documents.findIndex((ids) => ids.includes(card))}`;
  const first = (each) => notices.find((other) => other.card && of(other) === of(each));
  return notices.filter(
    (each) => !seen.has(each.seq) && (each.card === undefined || each === first(each)),
  );
}

export function remember(wallet, seq) {
  localStorage.setItem(key(wallet), JSON.stringify([...known(wallet), seq].slice(-50)));
}
