// An export file: MigrationData of TS10 as a JWE under a code, PBES2-HS256+A128KW and A128GCM.
// What keeps it closed are the 160 random bits of the code, not the count of PBKDF2; other wallets take
// the code as their password, typed as it is shown. TS10 1.2, section 5; RFC 7516; RFC 7518, 4.8.

import { codeBytes, concat, decode, encode, makeCode, random } from "./vault.js";
import { Refused } from "./wallet.js";

const ALG = "PBES2-HS256+A128KW";
const ENC = "A128GCM";
const COUNT = 100_000;
const MOST = 1_000_000; // of others' files
const TAG = 16;
const text = new TextEncoder();

async function wrappingKey(password, salt, iterations) {
  const secret = await crypto.subtle.importKey("raw", text.encode(password), "PBKDF2", false, [
    "deriveKey",
  ]);
  const full = concat(text.encode(ALG), Uint8Array.of(0), salt);
  const how = { name: "PBKDF2", hash: "SHA-256", salt: full, iterations };
  const kind = { name: "AES-KW", length: 128 };
  return crypto.subtle.deriveKey(how, secret, kind, false, ["wrapKey", "unwrapKey"]);
}

const gcm = (iv, header) => ({ name: "AES-GCM", iv, additionalData: text.encode(header) });

// The file for *migration*, and the code that opens it.
export async function sealed(migration) {
  const code = makeCode();
  const [salt, iv] = [random(16), random(12)];
  const said = { alg: ALG, enc: ENC, cty: "application/json", p2s: encode(salt), p2c: COUNT };
  const header = encode(text.encode(JSON.stringify(said)));
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, true, ["encrypt"]);
  const wrapped = await crypto.subtle.wrapKey("raw", key, await wrappingKey(code, salt, COUNT), "AES-KW");
  const content = text.encode(JSON.stringify(migration));
  const both = new Uint8Array(await crypto.subtle.encrypt(gcm(iv, header), key, content));
  const [ciphertext, tag] = [both.slice(0, -TAG), both.slice(-TAG)];
  return { code, file: [header, ...[wrapped, iv, ciphertext, tag].map(encode)].join(".") };
}

function headerOf(encoded) {
  const said = JSON.parse(new TextDecoder().decode(decode(encoded)));
  const usable = said.alg === ALG && said.enc === ENC && !("zip" in said) && !("crit" in said);
  if (!usable || !(Number.isInteger(said.p2c) && said.p2c >= 1000 && said.p2c <= MOST)) throw said;
  return said;
}

// Our own codes are read forgivingly; anything else is another wallet's password.
function passwordOf(typed) {
  try {
    return makeCode(codeBytes(typed));
  } catch {
    return typed;
  }
}

// What is in an export file of this or another wallet.
export async function opened(file, typed) {
  let parts;
  let header;
  try {
    parts = file.trim().split(".");
    header = headerOf(parts[0]);
    if (parts.length !== 5) throw parts;
    parts = [parts[0], ...parts.slice(1).map(decode)];
  } catch {
    throw new Refused("not_an_export");
  }
  const [first, wrapped, iv, ciphertext, tag] = parts;
  const outer = await wrappingKey(passwordOf(typed), decode(header.p2s), header.p2c);
  let migration;
  try {
    const kind = { name: "AES-GCM", length: 128 };
    const key = await crypto.subtle.unwrapKey("raw", wrapped, outer, "AES-KW", kind, false, ["decrypt"]);
    const content = await crypto.subtle.decrypt(gcm(iv, first), key, concat(ciphertext, tag));
    migration = JSON.parse(new TextDecoder().decode(content));
  } catch {
    throw new Refused("wrong_file_code");
  }
  if (!Array.isArray(migration?.listOfCredentials)) throw new Refused("not_an_export");
  return migration;
}
