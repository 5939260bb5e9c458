// A wallet made of other projects' libraries. Answers each JSON line on stdin with one on stdout:
// {act, …} -> what the act found, or {refused: {by, code, status, …}}; `calls` is what it sent.
// What it shall do wrong is said by `nonce`, `audience`, `type` and `spoil`.
import { createInterface } from 'node:readline'
import {
  clientAuthenticationAnonymous,
  clientAuthenticationClientAttestationJwt,
  Oauth2ClientErrorResponseError,
  Oauth2ServerErrorResponseError,
} from '@openid4vc/oauth2'
import {
  Openid4vciClient,
  Openid4vciRetrieveCredentialsError,
  Openid4vciSendNotificationError,
  Openid4vciWalletProvider,
} from '@openid4vc/openid4vci'
import { Openid4vpClient } from '@openid4vc/openid4vp'
import { getListFromStatusListJWT } from '@sd-jwt/jwt-status-list'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import { DcqlQuery } from 'dcql'
import * as crypto from './wallet_crypto.mjs'
import * as mdoc from './wallet_mdoc.mjs'

const { callbacks, calls, hasher, newKey, spoilt } = crypto
const provider = new Openid4vciWalletProvider({ callbacks })
const presentation = new Openid4vpClient({ callbacks })
const offers = new Map() // by link: offer, metadata, token
const held = [] // {sdJwt, payload, publicJwk} or {mdoc, type, namespaces, publicJwk}
let typeUrls = {}
let providerKey // once someone attests this wallet

const CLIENT_ID = 'https://wallet.example'
const REDIRECT_URI = `${CLIENT_ID}/callback`
const now = () => Math.floor(Date.now() / 1000)
const inAnHour = () => new Date(Date.now() + 3_600_000)
const verifier = async (data, signature) =>
  Boolean(await crypto.signedByTrusted(`${data}.${signature}`))
const sdJwtVc = new SDJwtVcInstance({
  hasher,
  verifier,
  statusVerifier: verifier,
  loadTypeMetadataFormat: true,
  vctFetcher: async (vct) => (await fetch(typeUrls[vct])).json(),
})

/** The issuance client; *attestation* and *challenge* if the wallet says who made it. */
function issuance({ attestation, challenge } = {}) {
  const signJwt = (signer, { header, payload }) =>
    callbacks.signJwt(signer, { header, payload: { ...payload, challenge } })
  const clientAuthentication = attestation
    ? clientAuthenticationClientAttestationJwt({
        clientAttestationJwt: attestation,
        callbacks: { ...callbacks, signJwt },
      })
    : clientAuthenticationAnonymous()
  return new Openid4vciClient({ callbacks: { ...callbacks, clientAuthentication } })
}

/** A Wallet Attestation for the key of *signer*. */
function attested(signer) {
  return provider.createWalletAttestationJwt({
    signer: providerKey,
    issuer: 'https://provider.example',
    clientId: CLIENT_ID,
    confirmation: { jwk: signer.publicJwk },
    expiresAt: inAnHour(),
  })
}

/** A key attestation with *typ*, by the wallet provider. */
function attestedKeys(signers, { nonce, typ }) {
  const signJwt = (signer, { header, payload }) =>
    callbacks.signJwt(signer, { header: { ...header, typ }, payload })
  const typed = new Openid4vciWalletProvider({ callbacks: { ...callbacks, signJwt } })
  return typed.createKeyAttestationJwt({
    signer: providerKey,
    use: 'proof_type.jwt',
    attestedKeys: signers.map((each) => each.publicJwk),
    nonce,
    expiresAt: inAnHour(),
  })
}

/** Keep what a token response brought. */
function kept(link, { accessTokenResponse, dpop }) {
  const { access_token: accessToken, refresh_token: refreshToken } = accessTokenResponse
  const held = offers.get(link)
  Object.assign(held, { accessToken, dpop, refreshToken: refreshToken ?? held.refreshToken })
  return { type: accessTokenResponse.token_type }
}

/** *value* as the frame that discloses all of it. */
const frame = (value) =>
  value !== null && typeof value === 'object'
    ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, frame(each)]))
    : true

/** As the library matches it. */
const candidate = (held) => ({
  ...(held.mdoc
    ? { credential_format: 'mso_mdoc', doctype: held.type, namespaces: held.namespaces }
    : { credential_format: 'dc+sd-jwt', vct: held.payload.vct, claims: held.payload }),
  cryptographic_holder_binding: true,
})

async function resolved(link) {
  const { params } = presentation.parseOpenid4vpAuthorizationRequest({ authorizationRequest: link })
  return presentation.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: params })
}

async function shown({ sdJwt, publicJwk }, output, { aud, nonce, spoil }) {
  const signer = spoil === 'holder' ? await newKey() : { publicJwk }
  const kbSigner = crypto.signerOf(signer.publicJwk)
  const holder = new SDJwtVcInstance({ hasher, kbSignAlg: 'ES256', kbSigner })
  const kb = { payload: { iat: now(), aud, nonce } }
  const text = await holder.present(sdJwt, frame(output), { kb })
  if (spoil === 'issuer') return text.replace(/^[^~]*/, spoilt)
  if (spoil === 'binding') return spoilt(text)
  if (spoil === 'withheld') return text.replace(/~.*~/, '~')
  if (spoil === 'unbound') return text.replace(/[^~]*$/, '')
  return text
}

async function submit(authorizationRequestPayload, answer) {
  const { response } = await presentation.submitOpenid4vpAuthorizationResponse({
    authorizationRequestPayload,
    ...answer,
  })
  return { status: response.status, body: await response.json() }
}

const acts = {
  /** Whom to believe, where types are described, and the key of who attests this wallet. */
  async trust({ anchors, types, provider }) {
    crypto.trust(anchors)
    typeUrls = types
    if (provider) providerKey = await crypto.certifiedKey(provider)
    return {}
  },

  async open({ link }) {
    const client = issuance()
    const offer = await client.resolveCredentialOffer(link)
    const metadata = await client.resolveIssuerMetadata(offer.credential_issuer)
    offers.set(link, { offer, metadata })
    return {
      offer,
      version: metadata.originalDraftVersion,
      signed: metadata.signedCredentialIssuer !== undefined,
      known: Object.keys(metadata.knownCredentialConfigurations),
    }
  },

  async redeem({ link, txCode, attest, challenged }) {
    const { offer, metadata } = offers.get(link)
    const options = { attestation: attest && (await attested(await newKey())) }
    if (challenged) {
      const [{ challenge_endpoint: url }] = metadata.authorizationServers
      const answer = await (await fetch(url, { method: 'POST' })).json()
      options.challenge = answer.attestation_challenge
    }
    const { accessTokenResponse, dpop } = await issuance(
      options
    ).retrievePreAuthorizedCodeAccessTokenFromOffer({
      credentialOffer: offer,
      issuerMetadata: metadata,
      txCode,
      dpop: { signer: await newKey() },
    })
    Object.assign(offers.get(link), { accessToken: accessTokenResponse.access_token, dpop })
    return { type: accessTokenResponse.token_type }
  },

  /** Push the request; where the browser has to go. The same instance asks at the token endpoint. */
  async authorize({ link, configuration }) {
    const held = offers.get(link)
    const { offer, metadata: issuerMetadata } = held
    const [authorizationServerMetadata] = issuerMetadata.authorizationServers
    const url = authorizationServerMetadata.challenge_endpoint
    const challenge = (await (await fetch(url, { method: 'POST' })).json()).attestation_challenge
    const attestation = await attested(await newKey())
    const client = issuance({ attestation, challenge })
    const state = crypto.random() // for which the call that starts from an offer has no place
    const { authorizationRequestUrl, pkce, dpop } =
      await client.oauth2Client.createAuthorizationRequestUrl({
        authorizationServerMetadata,
        clientId: CLIENT_ID,
        redirectUri: REDIRECT_URI,
        scope: issuerMetadata.knownCredentialConfigurations[configuration].scope,
        state,
        resource: issuerMetadata.credentialIssuer.credential_issuer,
        dpop: { signer: await newKey() },
        additionalRequestPayload: { issuer_state: offer.grants.authorization_code.issuer_state },
      })
    Object.assign(held, { client, dpop, state, pkceCodeVerifier: pkce.codeVerifier })
    return { url: authorizationRequestUrl }
  },

  /** What the browser brought back: a token, or the error. */
  async exchange({ link, url }) {
    const { offer, metadata: issuerMetadata, client, dpop, state, ...rest } = offers.get(link)
    const [authorizationServerMetadata] = issuerMetadata.authorizationServers
    const response = client.parseAndVerifyAuthorizationResponseRedirectUrl({
      url,
      authorizationServerMetadata,
    })
    if (response.state !== state) throw new Error('state is another one')
    if (response.error) return { error: response.error }
    const found = await client.retrieveAuthorizationCodeAccessTokenFromOffer({
      issuerMetadata,
      credentialOffer: offer,
      authorizationCode: response.code,
      pkceCodeVerifier: rest.pkceCodeVerifier,
      redirectUri: REDIRECT_URI,
      dpop,
    })
    return kept(link, found)
  },

  /** A new access token for a new DPoP key. */
  async refresh({ link }) {
    const { metadata, client, refreshToken } = offers.get(link)
    const found = await client.oauth2Client.retrieveRefreshTokenAccessToken({
      authorizationServerMetadata: metadata.authorizationServers[0],
      refreshToken,
      dpop: { signer: await newKey() },
    })
    return kept(link, found)
  },

  async collect({ link, configuration, copies = 1, nonce, audience, type, spoil }) {
    const { metadata: issuerMetadata, accessToken, dpop } = offers.get(link)
    const client = issuance()
    nonce ??= (await client.requestNonce({ issuerMetadata })).c_nonce
    const addressed = structuredClone(issuerMetadata)
    if (audience) addressed.credentialIssuer.credential_issuer = audience
    const signers = await Promise.all(Array.from({ length: copies }, newKey))
    const keyAttestationJwt = type && (await attestedKeys(signers, { nonce, typ: type }))
    const jwt = [] // one proof is enough for all attested keys
    for (const signer of keyAttestationJwt ? signers.slice(0, 1) : signers) {
      const proof = await client.createCredentialRequestJwtProof({
        issuerMetadata: addressed,
        credentialConfigurationId: configuration,
        signer,
        nonce,
        keyAttestationJwt,
      })
      jwt.push(spoil === 'proof' ? spoilt(proof.jwt) : proof.jwt)
    }
    const { credentialResponse } = await client.retrieveCredentials({
      issuerMetadata,
      credentialConfigurationId: configuration,
      proofs: { jwt },
      accessToken: spoil === 'token' ? `${accessToken}x` : accessToken,
      dpop: spoil === 'key' ? { ...dpop, signer: await newKey() } : dpop,
    })
    const found = []
    for (const { credential } of credentialResponse.credentials) {
      if (issuerMetadata.knownCredentialConfigurations[configuration].format === 'mso_mdoc') {
        const { payload, type, ...kept } = await mdoc.read(credential, signers)
        found.push({ id: held.push({ mdoc: credential, type, ...kept }) - 1, payload, type })
        continue
      }
      const { payload, typeMetadata } = await sdJwtVc.verify(credential)
      const { x } = payload.cnf.jwk
      const { publicJwk } = signers.find((each) => each.publicJwk.x === x)
      const id = held.push({ sdJwt: credential, payload, publicJwk }) - 1
      found.push({ id, payload, type: typeMetadata.mergedTypeMetadata.name })
    }
    return { nonce, found, notification: credentialResponse.notification_id }
  },

  async notify({ link, notification }) {
    const { metadata: issuerMetadata, accessToken, dpop } = offers.get(link)
    const { response } = await issuance().sendNotification({
      issuerMetadata,
      notification: { notificationId: notification, event: 'credential_accepted' },
      accessToken,
      dpop,
    })
    return { status: response.status }
  },

  /** Verify again what is held: signature, digests, times, type, status. */
  async check({ id, spoil }) {
    const [jwt, first, ...rest] = held[id].sdJwt.split('~')
    const [salt, name] = JSON.parse(Buffer.from(first, 'base64url'))
    const other = Buffer.from(JSON.stringify([salt, name, 'other'])).toString('base64url')
    const sdJwt = [
      spoil === 'issuer' ? spoilt(jwt) : jwt,
      spoil === 'disclosure' ? other : first,
      ...rest,
    ].join('~')
    return { payload: (await sdJwtVc.verify(sdJwt)).payload }
  },

  /** The status list of what is held, read by the library's own reader. */
  async status({ id }) {
    const { uri, idx } = held[id].payload.status.status_list
    const token = await sdJwtVc.statusListFetcher(uri)
    const list = getListFromStatusListJWT(token)
    return { status: list.getStatus(idx), bits: list.getBitsPerStatus() }
  },

  /** Who asks, and for what. */
  async look({ link }) {
    const { client, dcql, authorizationRequestPayload } = await resolved(link)
    const query = DcqlQuery.parse(dcql.query)
    DcqlQuery.validate(query)
    return { prefix: client.prefix, query, mode: authorizationRequestPayload.response_mode }
  },

  async present({ link, ids, nonce, audience, spoil }) {
    const { authorizationRequestPayload, client, dcql } = await resolved(link)
    const query = DcqlQuery.parse(dcql.query)
    const candidates = ids.map((id) => candidate(held[id]))
    const result = DcqlQuery.query(query, candidates)
    if (!result.can_be_satisfied) return { satisfied: false }
    const vp_token = {}
    for (const { id } of query.credentials) {
      const [match] = result.credential_matches[id].valid_credentials ?? []
      if (!match) continue // another credential of the same set answers
      const credential = held[ids[match.input_credential_index]]
      const aud = audience ?? client.effective
      const fresh = nonce ?? authorizationRequestPayload.nonce
      const { output } = match.claims.valid_claim_sets[0]
      const said = { aud, nonce: fresh, spoil }
      vp_token[id] = [
        credential.mdoc
          ? await mdoc.shown(credential, output, authorizationRequestPayload, said)
          : await shown(credential, output, said),
      ]
    }
    const answer = await presentation.createOpenid4vpAuthorizationResponse({
      authorizationRequestPayload,
      authorizationResponsePayload: { vp_token },
      jarm: {
        encryption: { nonce: 'wallet' },
        serverMetadata: {
          authorization_encryption_alg_values_supported: ['ECDH-ES'],
          authorization_encryption_enc_values_supported: ['A256GCM'],
        },
      },
    })
    if (spoil === 'encryption') answer.jarm.responseJwt = spoilt(answer.jarm.responseJwt)
    return submit(authorizationRequestPayload, answer)
  },

  async decline({ link }) {
    const { authorizationRequestPayload } = await resolved(link)
    const { state } = authorizationRequestPayload
    const authorizationResponsePayload = { error: 'access_denied', state }
    return submit(authorizationRequestPayload, { authorizationResponsePayload })
  },
}

/** Who refused and how, as the libraries understand it. */
function refusal(error) {
  if (error instanceof Oauth2ClientErrorResponseError) {
    return { by: 'issuer', code: error.errorResponse.error, status: error.response.status }
  }
  if (error instanceof Openid4vciRetrieveCredentialsError) {
    const { response, credentialErrorResponseResult, wwwAuthenticate } = error.response
    const code = wwwAuthenticate?.[0]?.error ?? credentialErrorResponseResult?.data?.error
    return { by: 'issuer', code, status: response.status }
  }
  if (error instanceof Openid4vciSendNotificationError) {
    const { response, notificationErrorResponseResult } = error.response
    const code = notificationErrorResponseResult?.data?.error
    return { by: 'issuer', code, status: response.status }
  }
  const code = error instanceof Oauth2ServerErrorResponseError ? error.errorResponse.error : null
  return { by: 'wallet', code, message: error.message }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { act, ...asked } = JSON.parse(line)
  calls.length = 0
  const answer = await acts[act](asked).catch((error) => ({ refused: refusal(error) }))
  process.stdout.write(`${JSON.stringify({ ...answer, calls })}\n`)
}
