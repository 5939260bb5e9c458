// Answers each JSON line on stdin with one on stdout: what @owf/mdoc and @auth0/mdl make of it.
//   {act: "read", text, anchor, now}                          -> {claims} or {refused}
//   {act: "verify", by, text, session, anchor, now}           -> {claims} or {refused}
//   {act: "issue", by, doctype, namespace, claims, key, certificate, holder, times} -> {text}
//   {act: "present", by, text, doctype, namespace, names, session, key}  -> {text}
//   {act: "transcript", session}                              -> {text}
// Bytes are base64url, keys are JWKs; `by` is "owf" or "auth0". A session has clientId, nonce,
// responseUri, thumbprint and, encoded by us, transcript.
import {
  createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify, X509Certificate,
} from 'node:crypto'
import { createInterface } from 'node:readline'
import * as auth0 from '@auth0/mdl'
import * as owf from '@owf/mdoc'

const dsaEncoding = 'ieee-p1363'
const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64url'))
const text = (data) => Buffer.from(data).toString('base64url')
const pem = (der) => new X509Certificate(Buffer.from(der)).toString()

const context = {
  crypto: {
    random: (length) => new Uint8Array(randomBytes(length)),
    digest: ({ digestAlgorithm, bytes }) =>
      new Uint8Array(createHash(digestAlgorithm.replace('-', '')).update(bytes).digest()),
    calculateEphemeralMacKey: () => { throw new Error('no MAC here') },
  },
  cose: {
    sign1: {
      sign: ({ toBeSigned, key }) => {
        const own = createPrivateKey({ key: key.jwk, format: 'jwk' })
        return new Uint8Array(sign('sha256', toBeSigned, { key: own, dsaEncoding }))
      },
      verify: ({ key, sign1 }) => {
        const own = createPublicKey({ key: key.jwk, format: 'jwk' })
        return verify('sha256', sign1.toBeSigned, { key: own, dsaEncoding }, sign1.signature)
      },
    },
    mac0: { sign: () => { throw new Error('no MAC') }, verify: () => false },
  },
  x509: {
    getIssuerNameField: ({ certificate, field }) =>
      new X509Certificate(certificate).issuer.split('\n')
        .filter((line) => line.startsWith(`${field}=`)).map((line) => line.slice(field.length + 1)),
    getPublicKey: ({ certificate }) =>
      owf.CoseKey.fromJwk(new X509Certificate(certificate).publicKey.export({ format: 'jwk' })),
    verifyCertificateChain: ({ trustedCertificates, x5chain }) => {
      const leaf = new X509Certificate(x5chain[0])
      const root = trustedCertificates.map((each) => new X509Certificate(each))
        .find((each) => leaf.checkIssued(each) && leaf.verify(each.publicKey))
      if (!root || x5chain.length !== 1) throw new Error('no path to a trusted certificate')
    },
    getCertificateData: ({ certificate }) => {
      const found = new X509Certificate(certificate)
      return {
        issuerName: found.issuer, subjectName: found.subject, serialNumber: found.serialNumber,
        thumbprint: found.fingerprint256, notBefore: new Date(found.validFrom),
        notAfter: new Date(found.validTo), pem: found.toString(),
      }
    },
  },
}

// Values as JSON: bytes as base64url, dates as their text, maps as objects.
function plain(value) {
  if (value instanceof Uint8Array) return text(value)
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [k, plain(v)]))
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof owf.DateOnly) return value.toISOString().slice(0, 10)
  if (value instanceof Date) {
    const whole = value.toISOString()
    return whole.endsWith('T00:00:00.000Z') ? whole.slice(0, 10) : whole.replace('.000', '')
  }
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
  }
  return value
}

const transcript = (session) =>
  owf.SessionTranscript.forOid4Vp(
    {
      clientId: session.clientId, nonce: session.nonce, responseUri: session.responseUri,
      ...(session.thumbprint ? { jwkThumbprint: bytes(session.thumbprint) } : {}),
    },
    context,
  )

const owfClaims = (issuerSigned) =>
  Object.fromEntries(
    [...issuerSigned.issuerNamespaces.issuerNamespaces].map(([namespace, items]) => [
      namespace,
      Object.fromEntries(items.map((each) => [each.elementIdentifier, plain(each.elementValue)])),
    ]),
  )

// As ISO 18013-7 has it: auth0 takes the transcript as an embedded item (tag 24).
const embedded = (session) => Buffer.from(session.embedded, 'base64url')

const verifying = {
  owf: async ({ text, session, anchor, now }) => {
    const deviceResponse = owf.DeviceResponse.fromEncodedForOid4Vp(text)
    await owf.Verifier.verifyDeviceResponse(
      {
        deviceResponse, sessionTranscript: await transcript(session),
        trustedCertificates: [bytes(anchor)], now: new Date(now * 1000),
      },
      context,
    )
    return { claims: owfClaims(deviceResponse.documents[0].issuerSigned) }
  },
  auth0: async ({ text, session, anchor }) => {
    const verifier = new auth0.Verifier([pem(bytes(anchor))])
    const options = { encodedSessionTranscript: embedded(session) }
    const found = await verifier.verify(Buffer.from(text, 'base64url'), options)
    const document = found.documents[0]
    const claims = document.issuerSignedNameSpaces.map((each) => [
      each, plain(document.getIssuerNameSpace(each)),
    ])
    return { claims: Object.fromEntries(claims) }
  },
}

const issuing = {
  owf: async ({ doctype, namespace, claims, key, certificate, holder, times }) => {
    const issuer = new owf.Issuer(doctype, context)
    issuer.addIssuerNamespace(namespace, claims)
    const [signed, validFrom, validUntil] = times.map((each) => new Date(each * 1000))
    const done = await issuer.sign({
      signingKey: owf.CoseKey.fromJwk(key), algorithm: owf.SignatureAlgorithm.ES256,
      digestAlgorithm: 'SHA-256', validityInfo: { signed, validFrom, validUntil },
      deviceKeyInfo: { deviceKey: owf.DeviceKey.fromJwk(holder) }, certificates: [bytes(certificate)],
    })
    return { text: done.encodedForOid4Vci }
  },
  auth0: async ({ doctype, namespace, claims, key, certificate, holder, times }) => {
    const [signed, validFrom, validUntil] = times.map((each) => new Date(each * 1000))
    const done = await new auth0.Document(doctype)
      .addIssuerNameSpace(namespace, claims)
      .useDigestAlgorithm('SHA-256')
      .addValidityInfo({ signed, validFrom, validUntil })
      .addDeviceKeyInfo({ deviceKey: holder })
      .sign({ issuerPrivateKey: key, issuerCertificate: pem(bytes(certificate)), alg: 'ES256' })
    return { response: text(new auth0.MDoc([done]).encode()) }
  },
}

const presenting = {
  owf: async ({ text, doctype, namespace, names, session, key }) => {
    const issuerSigned = owf.IssuerSigned.fromEncodedForOid4Vci(text)
    const asked = Object.fromEntries(names.map((each) => [each, false]))
    const itemsRequest = owf.ItemsRequest.create({
      docType: doctype, namespaces: { [namespace]: asked },
    })
    const shown = await owf.Holder.createDeviceResponseForDeviceRequest(
      {
        deviceRequest: owf.DeviceRequest.create({
          docRequests: [owf.DocRequest.create({ itemsRequest })],
        }),
        sessionTranscript: await transcript(session), issuerSigned: [issuerSigned],
        signature: { signingKey: owf.CoseKey.fromJwk(key) },
      },
      context,
    )
    return { text: shown.encodedForOid4Vp }
  },
  auth0: async ({ response, doctype, namespace, names, session, key }) => {
    const fields = names.map((each) => ({
      path: [`$['${namespace}']['${each}']`], intent_to_retain: false,
    }))
    const definition = {
      id: 'asked',
      input_descriptors: [{
        id: doctype, format: { mso_mdoc: { alg: ['ES256'] } },
        constraints: { limit_disclosure: 'required', fields },
      }],
    }
    const shown = await auth0.DeviceResponse.from(bytes(response))
      .usingPresentationDefinition(definition)
      .usingSessionTranscriptBytes(embedded(session))
      .authenticateWithSignature(key, 'ES256')
      .sign()
    return { text: text_(shown.encode()) }
  },
}
const text_ = text

const acts = {
  read: async ({ text, anchor, now }) => {
    const issuerSigned = owf.IssuerSigned.fromEncodedForOid4Vci(text)
    await owf.Holder.verifyIssuerSigned(
      { issuerSigned, trustedCertificates: [bytes(anchor)], now: new Date(now * 1000) }, context,
    )
    return { claims: owfClaims(issuerSigned) }
  },
  transcript: async ({ session }) => ({ text: text((await transcript(session)).encode()) }),
  verify: (question) => verifying[question.by](question),
  issue: (question) => issuing[question.by](question),
  present: (question) => presenting[question.by](question),
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line)
  let answer
  try {
    answer = await acts[question.act](question)
  } catch (error) {
    answer = { refused: String(error?.stack ?? error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
