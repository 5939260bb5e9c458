// What the libraries leave to a wallet: keys, certificates, HTTP. jose signs and encrypts.
import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import * as jose from 'jose'

const ALG = 'ES256'
const ROLES = {
  'openidvci-issuer-metadata+jwt': 'metadata',
  'dc+sd-jwt': 'credential',
  'statuslist+jwt': 'status',
  'oauth-authz-req+jwt': 'access',
}
const privateKeys = new Map() // by thumbprint of the public key
let anchors = {} // DER in base64, by role of the trust list

export const trust = (byRole) => {
  anchors = byRole
}

/** What the last act sent, and what came back. */
export const calls = []

/** Another character at the start of the signature. */
export const spoilt = (jwt) =>
  jwt.replace(/\.([\w-])([\w-]*)$/, (_, first, rest) => `.${first === 'A' ? 'B' : 'A'}${rest}`)

export const random = () => randomBytes(32).toString('base64url')

const certificate = (base64) => new X509Certificate(Buffer.from(base64, 'base64'))
const publicJwkOf = (signer) =>
  signer.publicJwk ?? jose.exportJWK(certificate(signer.x5c[0]).publicKey)

async function remember(privateKey, publicJwk) {
  privateKeys.set(await jose.calculateJwkThumbprint(publicJwk), privateKey)
  return publicJwk
}

export async function newKey() {
  const { privateKey, publicKey } = await jose.generateKeyPair(ALG)
  const publicJwk = await remember(privateKey, await jose.exportJWK(publicKey))
  return { method: 'jwk', alg: ALG, publicJwk }
}

export async function certifiedKey({ jwk, x5c }) {
  const { d, ...publicJwk } = jwk
  await remember(await jose.importJWK(jwk, ALG), publicJwk)
  return { method: 'x5c', alg: ALG, x5c }
}

/** The anchors of a role of the trust list. */
export const anchorsOf = (role) => anchors[role].map((each) => Buffer.from(each, 'base64'))

/** The key of the leaf, if the chain ends at an anchor. */
function certified(x5c, roots) {
  const chain = x5c.map(certificate)
  const now = new Date()
  if (chain.some((each) => now < new Date(each.validFrom) || now > new Date(each.validTo))) return
  const issued = (each, by) => each.checkIssued(by) && each.verify(by.publicKey)
  const whole = chain.slice(1).every((by, index) => issued(chain[index], by))
  const anchored = roots.map(certificate).some((root) => issued(chain.at(-1), root))
  return whole && anchored ? chain[0].publicKey : undefined
}

/** The key by which someone signed whom the trust list names for this `typ`; else undefined. */
export async function signedByTrusted(compact) {
  const { typ, x5c } = jose.decodeProtectedHeader(compact)
  const key = certified(x5c, anchors[ROLES[typ]])
  if (key === undefined) return undefined
  const good = await jose.compactVerify(compact, key, { algorithms: [ALG] }).catch(() => false)
  return good ? jose.exportJWK(key) : undefined
}

/** Of a key that was made here. */
export const privateKey = async (jwk) => privateKeys.get(await jose.calculateJwkThumbprint(jwk))

/** For @sd-jwt, which joins the parts itself. */
export const signerOf = (publicJwk) => async (data) => {
  const [header, payload] = data.split('.').map((each) => Buffer.from(each, 'base64url'))
  const jws = await new jose.FlattenedSign(payload)
    .setProtectedHeader(JSON.parse(header))
    .sign(await privateKey(publicJwk))
  return jws.signature
}

export const hasher = (data, alg) =>
  new Uint8Array(createHash(alg.replace('sha-', 'sha')).update(Buffer.from(data)).digest())

/** For @openid4vc. */
export const callbacks = {
  fetch: async (url, options = {}) => {
    const headers = new Headers(options.headers)
    // The library takes signed metadata, but does not ask for it.
    const metadata = String(url).includes('/.well-known/openid-credential-issuer')
    if (metadata) headers.set('Accept', 'application/jwt')
    const response = await fetch(url, { ...options, headers })
    calls.push(`${new URL(url).pathname.split('/')[2]} ${response.status}`)
    return response
  },
  hash: hasher,
  generateRandom: (length) => new Uint8Array(randomBytes(length)),
  signJwt: async (signer, { header, payload }) => {
    const signerJwk = await publicJwkOf(signer)
    const key = await privateKey(signerJwk)
    return { jwt: await new jose.SignJWT(payload).setProtectedHeader(header).sign(key), signerJwk }
  },
  verifyJwt: async (_signer, { compact }) => {
    const signerJwk = await signedByTrusted(compact)
    return signerJwk ? { verified: true, signerJwk } : { verified: false }
  },
  encryptJwe: async ({ publicJwk, alg, enc, apu, apv }, data) => {
    const [from, to] = [apu, apv].map((each) => Buffer.from(each, 'base64url'))
    const jwe = await new jose.CompactEncrypt(Buffer.from(data))
      .setProtectedHeader({ alg, enc, kid: publicJwk.kid })
      .setKeyManagementParameters({ apu: from, apv: to })
      .encrypt(await jose.importJWK(publicJwk, alg))
    return { jwe, encryptionJwk: publicJwk }
  },
  getX509CertificateMetadata: () => ({ sanDnsNames: [], sanUriNames: [] }), // for other prefixes
}
