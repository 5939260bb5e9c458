// An issuer made of other projects' libraries: @openid4vc parses and verifies what a wallet sends,
// @sd-jwt and @owf/mdoc issue. Each JSON line on stdin is one act, answered by one on stdout:
//   {act: "setup", issuer, format, key: {jwk, x5c}, providers: [base64 DER], claims, batch} -> {}
//   {act: "offer", code?}                                             -> {link}
//   {act: "http", now, method, url, headers, body}                    -> {status, headers, body}
import { createHash, createPrivateKey, randomBytes, sign, verify, X509Certificate } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Oauth2AuthorizationServer, Oauth2ServerErrorResponseError } from '@openid4vc/oauth2'
import { Openid4vciIssuer } from '@openid4vc/openid4vci'
import { CoseKey, DeviceKey, Issuer } from '@owf/mdoc'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import * as jose from 'jose'

const GRANT = 'urn:ietf:params:oauth:grant-type:pre-authorized_code'
const NAMESPACE = 'org.iso.18013.5.1'
const NAMES = { 'dc+sd-jwt': 'pid', mso_mdoc: 'mdl' }
const dsaEncoding = 'ieee-p1363'
const random = () => randomBytes(32).toString('base64url')
const hasher = (data, alg) =>
  new Uint8Array(createHash(alg.replace('sha-', 'sha')).update(Buffer.from(data)).digest())

let world
const state = { codes: {}, pushed: {}, tokens: {}, nonces: new Set(), events: [], used: new Set() }

/** The key of the leaf, if a wallet provider of the trust list has certified it. */
function certified(x5c) {
  const leaf = new X509Certificate(Buffer.from(x5c[0], 'base64'))
  const roots = world.providers.map((each) => new X509Certificate(Buffer.from(each, 'base64')))
  return roots.some((root) => leaf.verify(root.publicKey)) ? leaf.publicKey : undefined
}

const callbacks = {
  hash: hasher,
  generateRandom: (length) => new Uint8Array(randomBytes(length)),
  verifyJwt: async (signer, { compact }) => {
    const key =
      signer.method === 'x5c' ? certified(signer.x5c) : await jose.importJWK(signer.publicJwk, signer.alg)
    if (key === undefined) return { verified: false }
    const signerJwk = await jose.exportJWK(key)
    const good = await jose.compactVerify(compact, key, { algorithms: ['ES256'] }).catch(() => false)
    return good ? { verified: true, signerJwk } : { verified: false }
  },
}
const server = new Oauth2AuthorizationServer({ callbacks })
const issuer = new Openid4vciIssuer({ callbacks })

const documents = () => ({
  credentialIssuer: issuer.createCredentialIssuerMetadata({
    credential_issuer: world.issuer,
    credential_endpoint: `${world.issuer}/credential`,
    nonce_endpoint: `${world.issuer}/nonce`,
    notification_endpoint: `${world.issuer}/notification`,
    batch_credential_issuance: { batch_size: world.batch },
    credential_configurations_supported: {
      pid: { format: 'dc+sd-jwt', vct: 'urn:eudi:pid:1', ...bound('pid') },
      mdl: { format: 'mso_mdoc', doctype: 'org.iso.18013.5.1.mDL', ...bound('mdl') },
    },
  }),
  server: server.createAuthorizationServerMetadata({
    issuer: world.issuer,
    authorization_endpoint: `${world.issuer}/authorize`,
    token_endpoint: `${world.issuer}/token`,
    pushed_authorization_request_endpoint: `${world.issuer}/par`,
    code_challenge_methods_supported: ['S256'],
    grant_types_supported: ['authorization_code', GRANT],
    dpop_signing_alg_values_supported: ['ES256'],
    token_endpoint_auth_methods_supported: ['attest_jwt_client_auth'],
    client_attestation_signing_alg_values_supported: ['ES256'],
    client_attestation_pop_signing_alg_values_supported: ['ES256'],
    authorization_response_iss_parameter_supported: true,
  }),
})
const bound = (scope) => ({
  scope,
  cryptographic_binding_methods_supported: ['jwk'],
  proof_types_supported: { jwt: { proof_signing_alg_values_supported: ['ES256'] } },
})

const answer = (body, status = 200, headers = {}) => ({ status, headers, body: JSON.stringify(body) })

/** What the library asks to be told of a client: its attestation and its DPoP proof. */
const demanded = ({ clientAttestation, dpop }) => ({
  clientAttestation: { ...clientAttestation, required: true },
  dpop: { ...dpop, required: true, allowedSigningAlgs: ['ES256'] },
})

async function par({ request, form, now }) {
  const parsed = await server.parsePushedAuthorizationRequest({ authorizationRequest: form, request })
  const { dpop } = await server.verifyPushedAuthorizationRequest({
    authorizationRequest: parsed.authorizationRequest,
    authorizationServerMetadata: documents().server,
    request,
    now,
    ...demanded({
      clientAttestation: parsed.clientAttestation,
      dpop: { jwt: parsed.dpop?.jwt },
    }),
  })
  const uri = `urn:ietf:params:oauth:request_uri:${random()}`
  state.pushed[uri] = { ...parsed.authorizationRequest, jkt: dpop.jwkThumbprint }
  const { pushedAuthorizationResponse } = server.createPushedAuthorizationResponse({
    requestUri: uri,
    expiresInSeconds: 60,
  })
  return answer(pushedAuthorizationResponse, 201)
}

function authorize({ url }) {
  const asked = state.pushed[url.searchParams.get('request_uri')]
  const code = random()
  state.codes[code] = asked
  const back = new URL(asked.redirect_uri)
  for (const [name, value] of Object.entries({ code, state: asked.state, iss: world.issuer }))
    back.searchParams.set(name, value)
  return { status: 302, headers: { location: String(back) }, body: '' }
}

async function token({ request, form, now }) {
  const parsed = server.parseAccessTokenRequest({ accessTokenRequest: form, request })
  const pre = parsed.grant.grantType === GRANT
  const code = pre ? parsed.grant.preAuthorizedCode : parsed.grant.code
  const asked = state.codes[code]
  delete state.codes[code]
  const common = {
    authorizationServerMetadata: documents().server,
    grant: parsed.grant,
    accessTokenRequest: parsed.accessTokenRequest,
    request,
    now,
    ...demanded({
      clientAttestation: {
        clientAttestationJwt: parsed.clientAttestation?.clientAttestationJwt,
        clientAttestationPopJwt: parsed.clientAttestation?.clientAttestationPopJwt,
      },
      dpop: { jwt: parsed.dpop?.jwt, expectedJwkThumbprint: asked?.jkt },
    }),
  }
  const { dpop } = pre
    ? await server.verifyPreAuthorizedCodeAccessTokenRequest({
        ...common,
        expectedPreAuthorizedCode: asked ? code : 'none',
        expectedTxCode: asked?.txCode,
      })
    : await server.verifyAuthorizationCodeAccessTokenRequest({
        ...common,
        expectedCode: asked ? code : 'none',
        pkce: {
          codeVerifier: parsed.pkceCodeVerifier,
          codeChallenge: asked?.code_challenge,
          codeChallengeMethod: asked?.code_challenge_method,
        },
      })
  const accessToken = random()
  state.tokens[accessToken] = dpop.jwkThumbprint
  return answer({ access_token: accessToken, token_type: 'DPoP', expires_in: 300 })
}

async function held({ request, now }) {
  const accessToken = request.headers.get('authorization').replace(/^DPoP /, '')
  const { jwkThumbprint, payload } = await server.verifyDpopJwt({
    dpopJwt: request.headers.get('dpop'),
    request,
    accessToken,
    now,
  })
  if (state.tokens[accessToken] !== jwkThumbprint) throw new Error('token of another key')
  if (state.used.has(payload.jti)) throw new Error('DPoP proof used again')
  state.used.add(payload.jti)
}

function nonce() {
  const { nonceResponse } = { nonceResponse: issuer.createNonceResponse({ cNonce: random() }) }
  state.nonces.add(nonceResponse.c_nonce)
  return answer(nonceResponse)
}

async function credential({ request, body, now }) {
  await held({ request, now })
  const { credentialIssuer, server: metadata } = documents()
  const issuerMetadata = {
    originalDraftVersion: 'V1',
    credentialIssuer,
    authorizationServers: [metadata],
    knownCredentialConfigurations: issuer.getKnownCredentialConfigurationsSupported(credentialIssuer),
  }
  const parsed = issuer.parseCredentialRequest({
    issuerMetadata,
    credentialRequest: JSON.parse(body),
  })
  const keys = []
  const [expectedNonce] = parsed.proofs.jwt.map((each) => jose.decodeJwt(each).nonce)
  if (!state.nonces.delete(expectedNonce)) throw new Error('unknown nonce')
  for (const jwt of parsed.proofs.jwt) {
    const { signer } = await issuer.verifyCredentialRequestJwtProof({
      issuerMetadata,
      jwt,
      expectedNonce,
      now,
    })
    keys.push(signer.publicJwk)
  }
  const { format } = parsed.credentialConfiguration
  const issued = await Promise.all(keys.map((key) => issue[format](key, now)))
  const credentialResponse = issuer.createCredentialResponse({
    credentialRequest: parsed,
    credentials: issued.map((each) => ({ credential: each })),
    notificationId: 'n-1',
  })
  return answer(credentialResponse)
}

async function notification({ request, body, now }) {
  await held({ request, now })
  state.events.push(JSON.parse(body).event)
  return { status: 204, headers: {}, body: '' }
}

const issue = {
  'dc+sd-jwt': ({ kty, crv, x, y }, now) => {
    const key = createPrivateKey({ key: world.key.jwk, format: 'jwk' })
    const today = Math.floor(now.getTime() / 86_400_000) * 86_400
    return new SDJwtVcInstance({
      hasher,
      hashAlg: 'sha-256',
      saltGenerator: (length) => randomBytes(length).toString('base64url'),
      signAlg: 'ES256',
      signer: (data) =>
        sign('sha256', Buffer.from(data), { key, dsaEncoding }).toString('base64url'),
    }).issue(
      {
        vct: 'urn:eudi:pid:1',
        iss: world.issuer,
        iat: today,
        exp: today + 14 * 86_400,
        cnf: { jwk: { kty, crv, x, y } },
        ...world.claims,
      },
      { _sd: Object.keys(world.claims) },
      { header: { typ: 'dc+sd-jwt', x5c: world.key.x5c } }
    )
  },
  mso_mdoc: async (jwk, now) => {
    const context = {
      crypto: {
        random: (length) => new Uint8Array(randomBytes(length)),
        digest: ({ digestAlgorithm, bytes }) => hasher(bytes, digestAlgorithm.toLowerCase()),
      },
      cose: {
        sign1: {
          sign: ({ toBeSigned, key }) =>
            new Uint8Array(
              sign('sha256', toBeSigned, {
                key: createPrivateKey({ key: key.jwk, format: 'jwk' }),
                dsaEncoding,
              })
            ),
          verify: () => true,
        },
      },
    }
    const until = new Date(now.getTime() + 14 * 86_400_000)
    const signed = await new Issuer('org.iso.18013.5.1.mDL', context)
      .addIssuerNamespace(NAMESPACE, world.claims)
      .sign({
        signingKey: CoseKey.fromJwk(world.key.jwk),
        algorithm: -7,
        digestAlgorithm: 'SHA-256',
        validityInfo: { signed: now, validFrom: now, validUntil: until },
        deviceKeyInfo: { deviceKey: DeviceKey.fromJwk(jwk) },
        certificates: world.key.x5c.map((each) => new Uint8Array(Buffer.from(each, 'base64'))),
      })
    return signed.encodedForOid4Vci
  },
}

const endpoints = { par, authorize, token, nonce, credential, notification }

async function http({ now, method, url, headers, body }) {
  const place = new URL(url)
  if (place.pathname.startsWith('/.well-known/openid-credential-issuer'))
    return answer(documents().credentialIssuer)
  if (place.pathname.startsWith('/.well-known/oauth-authorization-server'))
    return answer(documents().server)
  const request = { method, url, headers: new Headers(headers) }
  const form = Object.fromEntries(new URLSearchParams(body))
  const act = endpoints[place.pathname.split('/').at(-1)]
  return act({ request, form, body, url: place, now: new Date(now * 1000) })
}

const acts = {
  setup: (given) => {
    world = given
    return {}
  },
  offer: async ({ code }) => {
    const preAuthorized = random()
    if (code) state.codes[preAuthorized] = { txCode: code }
    const { credentialOffer } = await issuer.createCredentialOffer({
      issuerMetadata: {
        originalDraftVersion: 'V1',
        credentialIssuer: documents().credentialIssuer,
        authorizationServers: [documents().server],
        knownCredentialConfigurations: {},
      },
      credentialConfigurationIds: [NAMES[world.format]],
      grants: code
        ? { [GRANT]: { 'pre-authorized_code': preAuthorized, tx_code: { length: code.length } } }
        : { authorization_code: { issuer_state: random() } },
    })
    return { link: credentialOffer }
  },
  events: () => ({ events: state.events }),
  http,
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line)
  let found
  try {
    found = await acts[question.act](question)
  } catch (error) {
    const refusal = error instanceof Oauth2ServerErrorResponseError
    process.stderr.write(`${error.stack}\n${error.cause?.stack ?? ''}\n`)
    found = answer(refusal ? error.errorResponse : { error: 'server_error' }, error.status ?? 400)
  }
  process.stdout.write(`${JSON.stringify(found)}\n`)
}
