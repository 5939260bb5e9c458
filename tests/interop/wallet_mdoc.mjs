// What @owf/mdoc leaves to a wallet that reads an mdoc: certificates, digests, signatures.
import { createHash, randomBytes, verify, X509Certificate } from 'node:crypto'
import { CoseKey, Holder, IssuerSigned } from '@owf/mdoc'
import { anchorsOf } from './wallet_crypto.mjs'

const context = {
  crypto: {
    random: (length) => new Uint8Array(randomBytes(length)),
    digest: ({ digestAlgorithm, bytes }) =>
      new Uint8Array(createHash(digestAlgorithm.replace('-', '')).update(bytes).digest()),
  },
  cose: {
    sign1: {
      verify: ({ key, sign1 }) =>
        verify(
          'sha256',
          sign1.toBeSigned,
          { key: key.jwk, format: 'jwk', dsaEncoding: 'ieee-p1363' },
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
  if (!signers.some((each) => each.publicJwk.x === x)) throw new Error('mdoc: for another key')
  return { payload: issuerSigned.getPrettyClaims(mso.docType), type: mso.docType }
}
