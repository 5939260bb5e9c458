// Answers each JSON line on stdin with one on stdout: what the @sd-jwt libraries make of it.
//   {act: "issue", claims, frame, key}             -> {text}
//   {act: "present", text, frame, key?, kb?}       -> {text}
//   {act: "verify", text, key, nonce?}             -> {claims} or {refused}
//   {act: "pack", statuses, bits}                  -> {lst}
//   {act: "unpack", lst, bits, indexes}            -> {values}
//   {act: "status", token, index}                  -> {value}
// Keys are JWKs: private to issue and present, public to verify.
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'
import { createInterface } from 'node:readline'
import { getListFromStatusListJWT, StatusList } from '@sd-jwt/jwt-status-list'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'

const dsaEncoding = 'ieee-p1363'
const hasher = (data, algorithm) =>
  createHash(algorithm.replace('-', '')).update(new Uint8Array(Buffer.from(data))).digest()

const signerFor = (jwk) => (data) => {
  const key = createPrivateKey({ key: jwk, format: 'jwk' })
  return sign('sha256', Buffer.from(data), { key, dsaEncoding }).toString('base64url')
}
const check = (jwk, data, signature) => {
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  return verify('sha256', Buffer.from(data), { key, dsaEncoding }, Buffer.from(signature, 'base64url'))
}

function instance({ key, holder }) {
  return new SDJwtVcInstance({
    hasher,
    hashAlg: 'sha-256',
    saltGenerator: (length) => randomBytes(length).toString('base64url'),
    signAlg: 'ES256',
    signer: key?.d && signerFor(key),
    verifier: (data, signature) => check(key, data, signature),
    kbSignAlg: 'ES256',
    kbSigner: holder?.d && signerFor(holder),
    kbVerifier: (data, signature, payload) => check(payload.cnf.jwk, data, signature),
  })
}

const acts = {
  issue: async ({ claims, frame, key }) => ({ text: await instance({ key }).issue(claims, frame) }),
  present: async ({ text, frame, key, kb }) => ({
    text: await instance({ holder: key }).present(text, frame, kb && { kb: { payload: kb } }),
  }),
  verify: async ({ text, key, nonce, now }) => {
    const options = { keyBindingNonce: nonce, currentDate: now }
    return { claims: (await instance({ key }).verify(text, options)).payload }
  },
  pack: ({ statuses, bits }) => ({ lst: new StatusList(statuses, bits).compressStatusList() }),
  unpack: ({ lst, bits, indexes }) => {
    const list = StatusList.decompressStatusList(lst, bits)
    return { values: indexes.map((index) => list.getStatus(index)) }
  },
  status: ({ token, index }) => ({ value: getListFromStatusListJWT(token).getStatus(index) }),
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line)
  let answer
  try {
    answer = await acts[question.act](question)
  } catch (error) {
    answer = { refused: String(error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
