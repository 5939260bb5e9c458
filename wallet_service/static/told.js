// Which notices this device was told already: what its citizen answered "that was me" to.

const key = (wallet) => `notices/${wallet}`;
const known = (wallet) => new Set(JSON.parse(localStorage.getItem(key(wallet)) ?? "[]"));

export function untold({ wallet, notices }) {
  const seen = known(wallet);
  return notices.filter((each) => each.seq === undefined || !seen.has(each.seq));
}

export function remember(wallet, seq) {
  localStorage.setItem(key(wallet), JSON.stringify([...known(wallet), seq].slice(-50)));
}
