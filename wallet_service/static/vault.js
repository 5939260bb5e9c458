// The citizen's side of the cryptography: what a page computes and never sends.
// The same as shared/demo/browser.py, step by step; docs/wallet-api.md says it for other languages.
// WALLET_SECURITY, sections 2, 4 and 6; RFC 5869, 8785, 9180.

const text = new TextEncoder();
const PKCS8_X25519 = bytesOfHex("302e020100300506032b656e04220420");
const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_BYTES = 20;

export function bytesOfHex(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export function encode(bytes) {
  const binary = Array.from(new Uint8Array(bytes), (each) => String.fromCharCode(each)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function decode(base64url) {
  const binary = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (each) => each.charCodeAt(0));
}

export function random(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}

export function concat(...parts) {
  const all = new Uint8Array(parts.reduce((sum, each) => sum + each.length, 0));
  let at = 0;
  for (const each of parts) {
    all.set(each, at);
    at += each.length;
  }
  return all;
}

function bigEndian(number, length) {
  return Uint8Array.from({ length }, (_, at) => Math.floor(number / 256 ** (length - 1 - at)) % 256);
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

async function hmac(key, bytes) {
  const usable = key.length ? key : new Uint8Array(32); // an empty key is one of zeros (RFC 2104)
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", usable, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, bytes));
}

// HKDF-SHA-256 without salt, 32 bytes; each part of info is prefixed by its length.
async function hkdf(secret, ...info) {
  const parts = info.map((each) => (typeof each === "string" ? text.encode(each) : each));
  const joined = concat(...parts.flatMap((each) => [bigEndian(each.length, 4), each]));
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: joined };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256));
}

// -- X25519 and HPKE: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, mode_base ------------

function importPrivate(raw) {
  const pkcs8 = concat(PKCS8_X25519, raw);
  return crypto.subtle.importKey("pkcs8", pkcs8, { name: "X25519" }, true, ["deriveBits"]);
}

function importPublic(raw) {
  return crypto.subtle.importKey("raw", raw, { name: "X25519" }, true, []);
}

async function publicOf(privateKey) {
  return decode((await crypto.subtle.exportKey("jwk", privateKey)).x);
}

async function agree(privateKey, publicRaw) {
  const algorithm = { name: "X25519", public: await importPublic(publicRaw) };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, privateKey, 256));
}

const KEM = concat(text.encode("KEM"), bigEndian(0x20, 2));
const SUITE = concat(text.encode("HPKE"), bigEndian(0x20, 2), bigEndian(1, 2), bigEndian(2, 2));
const VERSION = text.encode("HPKE-v1");

function labeledExtract(suite, salt, label, secret) {
  return hmac(salt, concat(VERSION, suite, text.encode(label), secret));
}

async function labeledExpand(suite, key, label, info, length) {
  const labeled = concat(bigEndian(length, 2), VERSION, suite, text.encode(label), info);
  return (await hmac(key, concat(labeled, Uint8Array.of(1)))).slice(0, length);
}

async function schedule(shared, encapsulated, publicRaw, info) {
  const none = new Uint8Array(0);
  const context = concat(encapsulated, publicRaw);
  const extracted = await labeledExtract(KEM, none, "eae_prk", shared);
  const secret = await labeledExpand(KEM, extracted, "shared_secret", context, 32);
  const keyContext = concat(
    Uint8Array.of(0),
    await labeledExtract(SUITE, none, "psk_id_hash", none),
    await labeledExtract(SUITE, none, "info_hash", info),
  );
  const base = await labeledExtract(SUITE, secret, "secret", none);
  const raw = await labeledExpand(SUITE, base, "key", keyContext, 32);
  return {
    key: await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]),
    iv: await labeledExpand(SUITE, base, "base_nonce", keyContext, 12),
  };
}

export async function hpkeSeal(publicRaw, plaintext, info) {
  const ephemeral = await crypto.subtle.generateKey({ name: "X25519" }, true, ["deriveBits"]);
  const encapsulated = await publicOf(ephemeral.privateKey);
  const shared = await agree(ephemeral.privateKey, publicRaw);
  const { key, iv } = await schedule(shared, encapsulated, publicRaw, info);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, plaintext);
  return concat(Uint8Array.of(1), encapsulated, new Uint8Array(sealed));
}

export async function hpkeOpen(privateRaw, blob, info) {
  if (blob[0] !== 1 || blob.length < 49) throw new Error("wrap: not of this suite");
  const own = await importPrivate(privateRaw);
  const encapsulated = blob.slice(1, 33);
  const { key, iv } = await schedule(
    await agree(own, encapsulated),
    encapsulated,
    await publicOf(own),
    info,
  );
  return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, blob.slice(33)));
}

// -- Unlockers and roots -------------------------------------------------------------------------

export async function privateKey(secret) {
  return hkdf(secret, "citizen-wallet/x25519/v1");
}

export async function keysOfPasskey([read, act]) {
  return { read: await privateKey(read), act: await privateKey(act) };
}

export async function keysOfCode(code) {
  const secret = codeBytes(code);
  const [read, act] = await Promise.all(
    ["read", "act"].map((each) => hkdf(secret, `citizen-wallet/code/v1/${each}`)),
  );
  return keysOfPasskey([read, act]);
}

async function wrapInfo(wallet, unlocker, purpose, kRead) {
  const info = text.encode(`citizen-wallet/wrap/v1\0${wallet}\0${unlocker}\0${purpose}`);
  if (purpose === "read") return info;
  return concat(info, Uint8Array.of(0), await hkdf(kRead, "citizen-wallet/act-wrap/v1", wallet));
}

export async function openRoot(key, wrap, { wallet, unlocker, purpose, kRead }) {
  return hpkeOpen(key, wrap, await wrapInfo(wallet, unlocker, purpose, kRead));
}

export async function publicKeys(keys) {
  const [read, act] = await Promise.all(
    [keys.read, keys.act].map(async (each) => publicOf(await importPrivate(each))),
  );
  return { read_key: encode(read), act_key: encode(act) };
}

// What is sent of an unlocker: its public keys, and both roots sealed to them.
export async function unlockerBody(keys, roots, wallet, unlocker) {
  const mine = await publicKeys(keys);
  const readInfo = await wrapInfo(wallet, unlocker, "read");
  const actInfo = await wrapInfo(wallet, unlocker, "act", roots.read);
  return {
    ...mine,
    read_wrap: encode(await hpkeSeal(decode(mine.read_key), roots.read, readInfo)),
    act_wrap: encode(await hpkeSeal(decode(mine.act_key), roots.act, actInfo)),
  };
}

export async function markOf(root, wallet) {
  return encode(await hkdf(root, "citizen-wallet/mark/v1", wallet));
}

export async function copyKey(kAct, copy) {
  return encode(await hkdf(kAct, "citizen-wallet/copy/v1", copy));
}

// -- The challenge of an approval ----------------------------------------------------------------

// RFC 8785: names sorted by UTF-16 code units, numbers and strings as ECMAScript writes them.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

export async function challengeOf(payload) {
  const bytes = concat(
    text.encode("citizen-wallet/approve/v1"),
    Uint8Array.of(0),
    text.encode(canonical(payload)),
  );
  return encode(await sha256(bytes));
}

// -- Recovery and revocation codes ---------------------------------------------------------------

export function makeCode(bytes = random(CODE_BYTES)) {
  const number = bytes.reduce((sum, each) => (sum << 8n) | BigInt(each), 0n);
  const symbols = Array.from({ length: 32 }, (_, at) => {
    return CROCKFORD[Number((number >> BigInt(155 - 5 * at)) & 31n)];
  });
  return symbols.join("").match(/.{4}/g).join("-");
}

export function codeBytes(code) {
  const symbols = code.toUpperCase().replace(/[- ]/g, "").replaceAll("O", "0").replace(/[IL]/g, "1");
  if (symbols.length !== 32 || [...symbols].some((each) => !CROCKFORD.includes(each))) {
    throw new Error("code: not 32 symbols");
  }
  let number = [...symbols].reduce((sum, each) => (sum << 5n) | BigInt(CROCKFORD.indexOf(each)), 0n);
  const bytes = new Uint8Array(CODE_BYTES);
  for (let at = CODE_BYTES - 1; at >= 0; at -= 1) {
    bytes[at] = Number(number & 255n);
    number >>= 8n;
  }
  return bytes;
}

export function sameCode(one, other) {
  try {
    return encode(codeBytes(one)) === encode(codeBytes(other));
  } catch {
    return false;
  }
}

export async function lookupOf(code) {
  return encode(await hkdf(codeBytes(code), "citizen-wallet/lookup/v1"));
}
