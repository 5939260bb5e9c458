// A verifier made of other projects' libraries: @openid4vc asks and reads what a wallet posts, dcql
// judges it, @sd-jwt and @owf/mdoc verify it. Each JSON line on stdin is answered by one on stdout:
//   {act: "setup", place, key: {jwk, x5c}, anchors: {credential, status}, statuses}   -> {}
//   {act: "ask", query, scheme, info?, post?, redirect?, transaction?}      -> {link, number}
//   {act: "http", now, method, url, body}                      -> {status, headers, body}
//   {act: "result", number}                                    -> {claims, transaction?} or {refused}
import {
  createHash, createPrivateKey, randomBytes, verify, X509Certificate,
} from 'node:crypto'
import { createInterface } from 'node:readline'
import { calculateX509HashClientIdPrefixValue, Openid4vpVerifier } from '@openid4vc/openid4vp'
import { DeviceResponse, SessionTranscript, Verifier } from '@owf/mdoc'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import { DcqlPresentationResult, DcqlQuery } from 'dcql'
import * as jose from 'jose'
import { context } from './wallet_mdoc.mjs'

const dsaEncoding = 'ieee-p1363'
const random = () => randomBytes(24).toString('base64url')
const der = (base64) => Buffer.from(base64, 'base64')
const hasher = (data, alg) =>
  new Uint8Array(createHash(alg.replace('-', '')).update(Buffer.from(data)).digest())
const same = (found, expected, what) => {
  if (found !== expected) throw new Error(`${what}: ${found} is not ${expected}`)
}

let world
const asked = {}

const callbacks = {
  hash: hasher,
  signJwt: async (signer, { header, payload }) => ({
    jwt: await new jose.SignJWT(payload)
      .setProtectedHeader(header)
      .sign(createPrivateKey({ key: world.key.jwk, format: 'jwk' })),
    signerJwk: signer.publicJwk,
  }),
  verifyJwt: () => ({ verified: false }),
  decryptJwe: async (jwe, { jwk } = {}) => {
    const { privateJwk } = Object.values(asked).find((each) => each.privateJwk.kid === jwk?.kid)
    const { plaintext } = await jose.compactDecrypt(jwe, await jose.importJWK(privateJwk, 'ECDH-ES'))
    return { decrypted: true, decryptionJwk: jwk, payload: new TextDecoder().decode(plaintext) }
  },
}
const verifier = new Openid4vpVerifier({ callbacks })

/** The key of the leaf, if an anchor of *role* has certified it. */
function certified(compact, role) {
  const leaf = new X509Certificate(der(jose.decodeProtectedHeader(compact).x5c[0]))
  const roots = world.anchors[role].map((each) => new X509Certificate(der(each)))
  if (!roots.some((each) => leaf.checkIssued(each) && leaf.verify(each.publicKey)))
    throw new Error(`${role}: nobody on the trust list has signed it`)
  return leaf.publicKey
}

async function ask({ query, info, scheme, post, redirect, transaction }) {
  const number = random()
  const { privateKey, publicKey } = await jose.generateKeyPair('ECDH-ES', { extractable: true })
  const named = { kid: number, use: 'enc', alg: 'ECDH-ES' }
  const privateJwk = { ...(await jose.exportJWK(privateKey)), ...named }
  const publicJwk = { ...(await jose.exportJWK(publicKey)), ...named }
  const hash = await calculateX509HashClientIdPrefixValue({
    x509Certificate: world.key.x5c[0], hash: hasher,
  })
  const payload = {
    response_type: 'vp_token',
    client_id: `x509_hash:${hash}`,
    response_mode: 'direct_post.jwt',
    response_uri: `${world.place}/response/${number}`,
    nonce: random(),
    state: random(),
    dcql_query: query,
    client_metadata: {
      jwks: { keys: [publicJwk] },
      encrypted_response_enc_values_supported: ['A256GCM'],
      vp_formats_supported: {
        'dc+sd-jwt': { 'sd-jwt_alg_values': ['ES256'], 'kb-jwt_alg_values': ['ES256'] },
        mso_mdoc: { issuerauth_alg_values: [-7], deviceauth_alg_values: [-7] },
      },
    },
    ...(info ? { verifier_info: [info] } : {}),
    ...(transaction ? { transaction_data: [transaction] } : {}),
  }
  asked[number] = { payload, privateJwk, redirect }
  const link = new URL(scheme)
  link.searchParams.set('client_id', payload.client_id)
  link.searchParams.set('request_uri', `${world.place}/request/${number}`)
  if (post) link.searchParams.set('request_uri_method', 'post')
  return { link: String(link), number }
}

async function request(own, { now, form }) {
  const { jar } = await verifier.createOpenId4vpAuthorizationRequest({
    authorizationRequestPayload: {
      ...own.payload,
      ...(form.wallet_nonce ? { wallet_nonce: form.wallet_nonce } : {}),
    },
    wallet: { expectedNonce: form.wallet_nonce },
    jar: {
      requestUri: `${world.place}/request`,
      jwtSigner: { method: 'x5c', alg: 'ES256', x5c: world.key.x5c },
      expiresInSeconds: 300,
      additionalJwtPayload: {
        aud: 'https://self-issued.me/v2',
        iat: Math.floor(now / 1000),
        exp: Math.floor(now / 1000) + 300,
      },
    },
  })
  const headers = { 'content-type': 'application/oauth-authz-req+jwt' }
  return { status: 200, headers, body: jar.authorizationRequestJwt }
}

const verifying = {
  'dc+sd-jwt': async (text, own, now) => {
    const holder = (jwk, data, signature) =>
      verify('sha256', Buffer.from(data), { key: jwk, format: 'jwk', dsaEncoding },
        Buffer.from(signature, 'base64url'))
    const signedBy = (compact, role) => (data, signature) =>
      verify('sha256', Buffer.from(data), { key: certified(compact, role), dsaEncoding },
        Buffer.from(signature, 'base64url'))
    let status
    const library = new SDJwtVcInstance({
      hasher, hashAlg: 'sha-256', kbSignAlg: 'ES256', signAlg: 'ES256',
      verifier: signedBy(text.split('~')[0], 'credential'),
      kbVerifier: (data, signature, payload) => holder(payload.cnf.jwk, data, signature),
      statusListFetcher: (uri) => (status = world.statuses[uri]),
      statusVerifier: (data, signature) => signedBy(status, 'status')(data, signature),
    })
    const { payload, kb } = await library.verify(text, {
      keyBindingNonce: own.payload.nonce, currentDate: Math.floor(now / 1000),
    })
    same(kb.payload.aud, own.payload.client_id, 'aud of the key binding')
    return {
      presented: {
        credential_format: 'dc+sd-jwt', vct: payload.vct, claims: payload,
        cryptographic_holder_binding: true,
      },
      claims: payload,
      hashes: kb.payload.transaction_data_hashes,
    }
  },
  mso_mdoc: async (text, own, now) => {
    const deviceResponse = DeviceResponse.fromEncodedForOid4Vp(text)
    const thumbprint = await jose.calculateJwkThumbprint(own.privateJwk)
    const jwkThumbprint = jose.base64url.decode(thumbprint)
    const { client_id: clientId, nonce, response_uri: responseUri } = own.payload
    const session = { clientId, nonce, responseUri, jwkThumbprint }
    await Verifier.verifyDeviceResponse(
      {
        deviceResponse,
        sessionTranscript: await SessionTranscript.forOid4Vp(session, context),
        trustedCertificates: world.anchors.credential.map((each) => new Uint8Array(der(each))),
        now: new Date(now),
      },
      context
    )
    const [document] = deviceResponse.documents
    const namespaces = namespacesOf(document.issuerSigned)
    return {
      presented: {
        credential_format: 'mso_mdoc', doctype: document.docType, namespaces,
        cryptographic_holder_binding: true,
      },
      claims: namespaces,
    }
  },
}

const namespacesOf = ({ issuerNamespaces }) =>
  Object.fromEntries(
    [...issuerNamespaces.issuerNamespaces].map(([name, items]) => [
      name, Object.fromEntries(items.map((each) => [each.elementIdentifier, each.elementValue])),
    ])
  )

async function response(own, { now, form }) {
  same(own.used, undefined, 'the response is the first')
  const found = await verifier.parseOpenid4vpAuthorizationResponse({
    authorizationResponse: form,
    authorizationRequestPayload: own.payload,
    callbacks,
  })
  same(found.authorizationResponsePayload.state, own.payload.state, 'state')
  const query = DcqlQuery.parse(own.payload.dcql_query)
  const formats = Object.fromEntries(query.credentials.map((each) => [each.id, each.format]))
  const presented = {}
  own.claims = {}
  for (const [id, texts] of Object.entries(found.dcql.presentations)) {
    const all = await Promise.all(texts.map((each) => verifying[formats[id]](each, own, now)))
    presented[id] = all.map((each) => each.presented)
    own.claims[id] = all.map((each) => each.claims)
    own.hashes = all[0].hashes
  }
  const judged = DcqlPresentationResult.fromDcqlPresentation(presented, { dcqlQuery: query })
  if (!judged.can_be_satisfied) throw new Error(`dcql: ${JSON.stringify(judged)}`)
  if (own.payload.transaction_data) {
    const verified = await verifier.verifyTransactionData({
      transactionData: own.payload.transaction_data,
      credentials: { [query.credentials[0].id]: [{ transaction_data_hashes: own.hashes }] },
    })
    own.transaction = verified.map((each) => each.credentialId)
  }
  own.used = true
  const body = JSON.stringify(own.redirect ? { redirect_uri: own.redirect } : {})
  return { status: 200, headers: { 'content-type': 'application/json' }, body }
}

const endpoints = { request, response }

const acts = {
  setup: (given) => {
    world = given
    return {}
  },
  ask,
  result: ({ number }) => {
    const { claims, transaction, refused, used } = asked[number]
    return used ? { claims, transaction } : { refused }
  },
  http: async ({ now, url, body }) => {
    const [endpoint, number] = new URL(url).pathname.split('/').slice(-2)
    const form = Object.fromEntries(new URLSearchParams(body))
    try {
      return await endpoints[endpoint](asked[number], { now: now * 1000, form })
    } catch (error) {
      asked[number].refused = String(error?.stack ?? error)
      process.stderr.write(`${asked[number].refused}\n`)
      const headers = { 'content-type': 'application/json' }
      return { status: 400, headers, body: '{"error": "invalid_request"}' }
    }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line)
  process.stdout.write(`${JSON.stringify(await acts[question.act](question))}\n`)
}
