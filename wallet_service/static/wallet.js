// A wallet in this browser: begin it, open it, approve; over /api/v1 and passkeys alone.
// It checks what an app has to check: the challenge is that of the payload shown, the roots are those
// this device knows, the history goes on. WALLET_SECURITY, sections 4, 6 and 8; docs/wallet-api.md.

import * as vault from "./vault.js";

// A refusal of the wallet (problem+json), or of this page itself; `code` is stable.
export class Refused extends Error {
  constructor(code, problem = {}) {
    super(code);
    this.code = code;
    this.detail = problem.detail;
    this.nextStep = problem.next_step;
    this.whoseFault = problem.whose_fault;
    this.supportId = problem.support_id;
  }
}

// The open session: how long it lasts unused, and in any case; when it began and was used last.
export const session = {};

function used({ idle_seconds: idle, seconds }) {
  const now = performance.now();
  if (seconds !== undefined) Object.assign(session, { idle, seconds, began: now });
  session.used = now;
  dispatchEvent(new Event("walletused"));
}

export async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      credentials: "same-origin",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused("no_answer");
  }
  const raw = await answer.text();
  const content = raw ? JSON.parse(raw) : {};
  if (answer.status === 401) dispatchEvent(new Event("walletclosed"));
  if (!answer.ok) throw new Refused(content.code ?? "no_answer", content);
  used(content);
  return content;
}

const post = (path, body) => call("POST", path, body);

// -- The passkey ---------------------------------------------------------------------------------

function prfInputs(extensions) {
  const inputs = Object.entries(extensions.prf.eval ?? {});
  if (!inputs.length) return { prf: {} };
  return { prf: { eval: Object.fromEntries(inputs.map(([name, each]) => [name, vault.decode(each)])) } };
}

const withIds = (list = []) => list.map((each) => ({ ...each, id: vault.decode(each.id) }));

async function gesture(act) {
  try {
    const credential = await act();
    if (credential === null) throw new Refused("passkey_refused");
    return credential;
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(error.name === "InvalidStateError" ? "passkey_known" : "passkey_refused");
  }
}

function shown(credential, response, extensions) {
  const id = vault.encode(credential.rawId);
  return { id, rawId: id, type: credential.type, response, clientExtensionResults: extensions };
}

// Tell the device that it need not keep this passkey; not every browser can.
function disown(rpId, credentialId) {
  PublicKeyCredential.signalUnknownCredential?.({ rpId, credentialId })?.catch(() => {});
}

async function createPasskey(options) {
  const publicKey = {
    ...options,
    challenge: vault.decode(options.challenge),
    user: { ...options.user, id: vault.decode(options.user.id) },
    excludeCredentials: withIds(options.excludeCredentials),
    extensions: prfInputs(options.extensions),
  };
  const made = await gesture(() => navigator.credentials.create({ publicKey }));
  const enabled = made.getClientExtensionResults().prf?.enabled === true;
  if (!enabled) {
    disown(options.rp.id, vault.encode(made.rawId));
    throw new Refused("prf_missing");
  }
  const response = {
    clientDataJSON: vault.encode(made.response.clientDataJSON),
    attestationObject: vault.encode(made.response.attestationObject),
    transports: made.response.getTransports?.() ?? [],
  };
  return shown(made, response, { prf: { enabled } });
}

// The assertion to send, and the PRF outputs, which stay here.
async function usePasskey(options) {
  const publicKey = {
    ...options,
    challenge: vault.decode(options.challenge),
    allowCredentials: withIds(options.allowCredentials),
    extensions: prfInputs(options.extensions),
  };
  const used = await gesture(() => navigator.credentials.get({ publicKey }));
  const results = used.getClientExtensionResults().prf?.results;
  if (!results?.first) throw new Refused("prf_missing");
  const outputs = [results.first, results.second].filter(Boolean);
  const { clientDataJSON, authenticatorData, signature, userHandle } = used.response;
  const response = {
    clientDataJSON: vault.encode(clientDataJSON),
    authenticatorData: vault.encode(authenticatorData),
    signature: vault.encode(signature),
    userHandle: userHandle && vault.encode(userHandle),
  };
  return { assertion: shown(used, response, {}), prf: outputs.map((each) => new Uint8Array(each)) };
}

// A passkey made and tried at once: many authenticators give PRF only when they are used.
async function newPasskey(options) {
  const creation = await createPasskey(options.creation);
  const used = await usePasskey({
    ...options.assertion,
    allowCredentials: [{ type: "public-key", id: creation.id }],
  });
  if (used.prf.length !== 2) throw new Refused("prf_missing");
  const { assertion, prf } = used;
  return { creation, assertion, keys: await vault.keysOfPasskey(prf) };
}

async function ofCode(code, derive) {
  try {
    return await derive(code);
  } catch {
    throw new Refused("not_a_code");
  }
}

export const lookupOf = (code) => ofCode(code, vault.lookupOf);

// -- What this device remembers: marks of both roots, and the last state of the log -----------------

function remembered(wallet) {
  return JSON.parse(localStorage.getItem(`wallet/${wallet}`) ?? "{}");
}

function remember(wallet, more) {
  localStorage.setItem(`wallet/${wallet}`, JSON.stringify({ ...remembered(wallet), ...more }));
}

async function recognise(wallet, purpose, root) {
  const mark = await vault.markOf(root, wallet);
  const known = remembered(wallet)[purpose];
  if (known !== undefined && known !== mark) throw new Refused("deceived");
  remember(wallet, { [purpose]: mark });
}

function checkHistory(wallet, version, head) {
  const known = remembered(wallet);
  if (known.version === undefined) return;
  const forked = version === known.version && head !== known.head;
  if (version < known.version || forked) throw new Refused("deceived");
}

// -- An open wallet ------------------------------------------------------------------------------

export class Wallet {
  constructor(id, kRead) {
    this.id = id;
    this.kRead = kRead;
  }

  // One gesture with the `read` input.
  static async open() {
    const { options } = await post("/sessions/options");
    const { assertion, prf } = await usePasskey(options);
    const opening = await post("/sessions/assertion", { assertion });
    const { wallet, unlocker } = opening;
    const key = await vault.privateKey(prf[0]);
    const wrap = vault.decode(opening.read_wrap);
    const kRead = await vault.openRoot(key, wrap, { wallet, unlocker, purpose: "read" });
    await recognise(wallet, "read", kRead);
    await post("/sessions", { opening: opening.opening, k_read: vault.encode(kRead) });
    const opened = new Wallet(wallet, kRead);
    await opened.overview();
    return opened;
  }

  // Two gestures of a new passkey; the codes are shown once and are sent nowhere.
  static async begin(locale) {
    const options = await post("/wallets/options");
    const { creation, assertion, keys } = await newPasskey(options);
    const roots = { read: vault.random(32), act: vault.random(32) };
    const codes = { recovery: vault.makeCode(), revocation: vault.makeCode() };
    const { wallet } = options;
    const recovery = await vault.keysOfCode(codes.recovery);
    await post("/wallets", {
      registration: options.registration,
      creation,
      assertion,
      passkey: await vault.unlockerBody(keys, roots, wallet, options.passkey_unlocker),
      recovery: await vault.unlockerBody(recovery, roots, wallet, options.recovery_unlocker),
      recovery_lookup: await vault.lookupOf(codes.recovery),
      revocation_lookup: await vault.lookupOf(codes.revocation),
      k_read: vault.encode(roots.read),
      locale,
    });
    await recognise(wallet, "read", roots.read);
    await recognise(wallet, "act", roots.act);
    const opened = new Wallet(wallet, roots.read);
    await opened.overview();
    return { opened, codes };
  }

  // The first screen; refuses a wallet that was rolled back or whose log was forked.
  async overview() {
    const found = await call("GET", "/wallet");
    const { wallet_version: version, log_head: head } = found;
    const known = remembered(this.id);
    checkHistory(this.id, version, head);
    if (known.version > 0 && version > known.version) {
      const { entries } = await call("GET", "/log");
      if (entries[known.version - 1].entry_hash !== known.head) throw new Refused("deceived");
    }
    remember(this.id, { version, head });
    dispatchEvent(new CustomEvent("walletread", { detail: found }));
    return found;
  }

  // The recovery code, typed back, opens the same root: it would work when needed.
  async proveRecovery(code) {
    const keys = await ofCode(code, vault.keysOfCode);
    const found = await post("/recovery/proof/begin", { lookup: await vault.lookupOf(code) });
    const kRead = await vault.openRoot(keys.read, vault.decode(found.read_wrap), {
      wallet: this.id,
      unlocker: found.unlocker,
      purpose: "read",
    });
    await post("/recovery/proof", { k_read: vault.encode(kRead) });
  }

  // A new code, typed back already; with the gesture the old one is good for nothing.
  async replaceCode(kind, code) {
    const lookup = await lookupOf(code);
    const keys = kind === "recovery" ? await vault.keysOfCode(code) : undefined;
    const mine = keys && (await vault.publicKeys(keys));
    const named = {
      kind,
      lookup_hash: vault.encode(await vault.sha256(vault.decode(lookup))),
      ...mine,
    };
    const { approval } = await post(`/codes/${kind}`, { lookup, ...mine });
    const expected = ({ type, code: shown }) =>
      type === "replace_code" && Object.keys(named).every((each) => shown[each] === named[each]);
    const seal = async (act, payload) => {
      const roots = { read: this.kRead, act };
      const sealed = await vault.unlockerBody(keys, roots, this.id, payload.code.unlocker);
      return { read: sealed.read_wrap, act: sealed.act_wrap };
    };
    await this.approve(approval, expected, keys && { seal });
  }

  // A further passkey, made and tried; it counts once `approvePasskey` was approved with another.
  async preparePasskey() {
    const options = await post("/unlockers/options");
    const { creation, assertion, keys } = await newPasskey(options);
    const { registration, passkey_unlocker: unlocker } = options;
    return { registration, creation, assertion, keys, unlocker };
  }

  async approvePasskey({ registration, creation, assertion, keys, unlocker }) {
    const mine = await vault.publicKeys(keys);
    const body = { registration, creation, assertion, ...mine };
    const { approval } = await post("/unlockers", body);
    const expected = ({ type, unlocker: added }) =>
      type === "add_unlocker" && added.read_key === mine.read_key && added.act_key === mine.act_key;
    const seal = async (act) => {
      const roots = { read: this.kRead, act };
      const sealed = await vault.unlockerBody(keys, roots, this.id, unlocker);
      return { read: sealed.read_wrap, act: sealed.act_wrap };
    };
    await this.approve(approval, expected, { seal });
  }

  // A lost passkey: it opens nothing any more.
  async strikeOff(unlocker) {
    const { approval } = await post(`/unlockers/${unlocker}/removal`);
    await this.approve(
      approval,
      (payload) => payload.type === "remove_unlocker" && payload.unlocker.id === unlocker,
      { staying: (each) => each.unlocker !== unlocker },
    );
  }

  // What moves the wallet elsewhere, not sealed yet.
  async export() {
    const { approval } = await post("/export");
    return (await this.approve(approval, ({ type }) => type === "export")).migration;
  }

  // The end; the answer is the citizen's receipt.
  async leave() {
    const { approval } = await post("/wallet/deletion");
    const receipt = await this.approve(approval, ({ type }) => type === "delete_wallet");
    localStorage.removeItem(`wallet/${this.id}`);
    dispatchEvent(new Event("walletclosed"));
    return receipt;
  }

  // One gesture for one approval; `expected` says whether the payload is what was shown. `seal`
  // makes the wraps that go along from the root to act, which is forgotten afterwards; `staying`
  // says which passkeys may approve.
  async approve(approval, expected, { seal, staying = () => true } = {}) {
    const found = await call("GET", `/approvals/${approval}`);
    const { payload, options } = found;
    if (payload.wallet !== this.id || !expected(payload)) throw new Refused("deceived");
    checkHistory(this.id, payload.wallet_version, payload.log_head);
    if ((await vault.challengeOf(payload)) !== options.challenge) throw new Refused("deceived");
    const wraps = found.act_wraps.filter(staying);
    const ids = new Set(wraps.map((each) => each.credential_id));
    const allowCredentials = options.allowCredentials.filter((each) => ids.has(each.id));
    const { assertion, prf } = await usePasskey({ ...options, allowCredentials });
    const wrap = wraps.find((each) => each.credential_id === assertion.rawId);
    const key = await vault.privateKey(prf[0]);
    const kAct = await vault.openRoot(key, vault.decode(wrap.wrap), {
      wallet: this.id,
      unlocker: wrap.unlocker,
      purpose: "act",
      kRead: this.kRead,
    });
    await recognise(this.id, "act", kAct);
    const keys = {};
    for (const { copy } of payload.items ?? []) keys[copy] = await vault.copyKey(kAct, copy);
    const sealed = await seal?.(kAct, payload);
    return post(`/approvals/${approval}/approve`, { assertion, copy_keys: keys, wraps: sealed });
  }
}

// -- A new device: the recovery code ---------------------------------------------------------------

// Begin (or find begun) the waiting period of a recovery code; when it ends.
export async function beginRecovery(code) {
  const { not_before: notBefore } = await post("/recovery", { lookup: await lookupOf(code) });
  return new Date(notBefore * 1000);
}

// After it: what opens the wallet, and options for the passkey that `finish` makes and tries.
export async function openRecovery(code) {
  const lookup = await lookupOf(code);
  const options = await post("/recovery/options", { lookup });
  return { code, lookup, options };
}

export async function finishRecovery({ code, lookup, options }) {
  const { wallet, unlocker } = options;
  const own = await vault.keysOfCode(code);
  const [readWrap, actWrap] = [options.read_wrap, options.act_wrap].map(vault.decode);
  const read = await vault.openRoot(own.read, readWrap, { wallet, unlocker, purpose: "read" });
  const act = await vault.openRoot(own.act, actWrap, {
    wallet,
    unlocker,
    purpose: "act",
    kRead: read,
  });
  await recognise(wallet, "read", read);
  await recognise(wallet, "act", act);
  const { creation, assertion, keys } = await newPasskey(options);
  await post("/recovery/passkey", {
    lookup,
    registration: options.registration,
    creation,
    assertion,
    passkey: await vault.unlockerBody(keys, { read, act }, wallet, options.passkey_unlocker),
    k_read: vault.encode(read),
  });
  return new Wallet(wallet, read);
}
