// What @owf/mdoc leaves to who reads or shows an mdoc: certificates, digests, signatures.
import { createHash, KeyObject, randomBytes, sign, verify, X509Certificate } from 'node:crypto'
import {
  CoseKey,
  DeviceRequest,
  DocRequest,
  Holder,
  IssuerSigned,
  ItemsRequest,
  SessionTranscript,
} from '@owf/mdoc'
import * as jose from 'jose'
import { anchorsOf, newKey, privateKey } from './wallet_crypto.mjs'

const dsaEncoding = 'ieee-p1363'

export const context = {
  crypto: {
    random: (length) => new Uint8Array(randomBytes(length)),
    digest: ({ digestAlgorithm, bytes }) =>
      new Uint8Array(createHash(digestAlgorithm.replace('-', '')).update(bytes).digest()),
  },
  cose: {
    sign1: {
      sign: async ({ toBeSigned, key }) => {
        const own = KeyObject.from(await privateKey(key.jwk))
        return new Uint8Array(sign('sha256', toBeSigned, { key: own, dsaEncoding }))
      },
      verify: ({ key, sign1 }) =>
        verify(
          'sha256',
          sign1.toBeSigned,
          { key: key.jwk, format: 'jwk', dsaEncoding },
          sign1.signature
        ),
    },
  },
  x509: {
    getIssuerNameField: ({ certificate, field }) =>
      new X509Certificate(certificate).issuer
        .split('\n')
        .filter((each) => each.startsWith(`${field}=`))
        .map((each) => each.slice(field.length + 1)),
    getPublicKey: ({ certificate }) =>
      CoseKey.fromJwk(new X509Certificate(certificate).publicKey.export({ format: 'jwk' })),
    verifyCertificateChain: ({ trustedCertificates, x5chain }) => {
      const last = new X509Certificate(x5chain.at(-1))
      const roots = trustedCertificates.map((each) => new X509Certificate(each))
      if (!roots.some((each) => last.checkIssued(each) && last.verify(each.publicKey)))
        throw new Error('mdoc: nobody on the trust list has signed it')
    },
    getCertificateData: ({ certificate }) => {
      const found = new X509Certificate(certificate)
      return {
        issuerName: found.issuer,
        subjectName: found.subject,
        serialNumber: found.serialNumber,
        thumbprint: found.fingerprint256,
        notBefore: new Date(found.validFrom),
        notAfter: new Date(found.validTo),
        pem: found.toString(),
      }
    },
  },
}

/** The claims of an mdoc that verifies and is bound to one of *signers*. */
export async function read(credential, signers) {
  const issuerSigned = IssuerSigned.fromEncodedForOid4Vci(credential)
  await Holder.verifyIssuerSigned(
    { issuerSigned, trustedCertificates: anchorsOf('credential') },
    context
  )
  const { mobileSecurityObject: mso } = issuerSigned.issuerAuth
  const { x } = mso.deviceKeyInfo.deviceKey.jwk
  const signer = signers.find((each) => each.publicJwk.x === x)
  if (!signer) throw new Error('mdoc: for another key')
  const namespaces = Object.fromEntries(
    [...issuerSigned.issuerNamespaces.issuerNamespaces].map(([namespace, items]) => [
      namespace,
      Object.fromEntries(items.map((each) => [each.elementIdentifier, each.elementValue])),
    ])
  )
  return {
    payload: issuerSigned.getPrettyClaims(mso.docType),
    type: mso.docType,
    namespaces,
    publicJwk: signer.publicJwk,
  }
}

/** A DeviceResponse with what *output* selects, for the request in *payload*. */
export async function shown(held, output, payload, { aud, nonce, spoil }) {
  const { publicJwk } = spoil === 'holder' ? await newKey() : held
  const [key] = payload.client_metadata.jwks.keys
  const thumbprint = await jose.calculateJwkThumbprint(key)
  const sessionTranscript = await SessionTranscript.forOid4Vp(
    {
      clientId: aud,
      nonce,
      responseUri: payload.response_uri,
      jwkThumbprint: new Uint8Array(Buffer.from(thumbprint, 'base64url')),
    },
    context
  )
  const namespaces = Object.fromEntries(
    Object.entries(output).map(([namespace, found]) => [
      namespace,
      Object.fromEntries(Object.keys(found).map((name) => [name, false])),
    ])
  )
  const itemsRequest = ItemsRequest.create({ docType: held.type, namespaces })
  const response = await Holder.createDeviceResponseForDeviceRequest(
    {
      deviceRequest: DeviceRequest.create({ docRequests: [DocRequest.create({ itemsRequest })] }),
      sessionTranscript,
      issuerSigned: [IssuerSigned.fromEncodedForOid4Vci(held.mdoc)],
      signature: { signingKey: CoseKey.fromJwk({ ...publicJwk, alg: 'ES256' }) },
    },
    context
  )
  return response.encodedForOid4Vp
}
