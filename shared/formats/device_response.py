"""DeviceResponse: one mdoc, shown by its holder in one session and no other.

The device signs the session's transcript; what it would add of its own (`deviceSigned` elements) is
neither made nor accepted.
Specification: ISO/IEC 18013-5, sections 8.3.2.1.2.2 and 9.1.3; OpenID4VP 1.0, B.2.5 and B.2.6;
PROFILE HB-20 to HB-26, F-MD-08, F-MD-09.
"""

import hashlib
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from ..crypto.keys import Signer
from ..encoding import b64url_decode, b64url_encode
from ..errors import BadSignature, InvalidInput, WrongHolder, WrongType
from . import cbor, cose, mdoc
from .cbor import text
from .mdoc import IssuerSigned, Item, VerifiedMdoc
from .values import Session

_VERSION = "1.0"
_NO_NAMESPACES = b"\xa0"
_NO_NAMESPACES_BYTES = cbor.embed(_NO_NAMESPACES)
_ORIGIN = "origin:"
_THUMBPRINT = 32


def session_transcript(session: Session) -> bytes:
    """What a presentation over OpenID4VP is bound to.

    Args:
        session: with a `response_uri`, or for an Origin of the Digital Credentials API.

    Raises:
        InvalidInput: neither, or a thumbprint of another length.

    Specification: OpenID4VP 1.0, B.2.6.1 and B.2.6.2; PROFILE HB-22 to HB-25.
    """
    thumbprint = session.key_thumbprint
    if thumbprint is not None and len(thumbprint) != _THUMBPRINT:
        raise InvalidInput("session: the thumbprint is not one of SHA-256")
    key = b"\xf6" if thumbprint is None else b"\x58\x20" + thumbprint
    nonce, audience = text(session.nonce), session.audience
    if audience.startswith(_ORIGIN):
        kind = b"\x76OpenID4VPDCAPIHandover"
        info = b"\x83" + text(audience.removeprefix(_ORIGIN)) + nonce + key
    elif session.response_uri is not None:
        kind = b"\x71OpenID4VPHandover"
        info = b"\x84" + text(audience) + nonce + key + text(session.response_uri)
    else:
        raise InvalidInput("session: no response_uri for an mdoc")
    return b"\x83\xf6\xf6\x82%b\x58\x20%b" % (kind, hashlib.sha256(info).digest())


def _device_authentication(doctype: str, session: Session) -> bytes:
    """`DeviceAuthenticationBytes` without elements of the device (HB-20)."""
    return cbor.embed(
        b"\x84\x74DeviceAuthentication"
        + session_transcript(session)
        + text(doctype)
        + _NO_NAMESPACES_BYTES
    )


def sign(doctype: str, *, session: Session, signer: Signer) -> bytes:
    """`deviceSignature`: the holder's COSE_Sign1 over this session, payload detached.

    Args:
        doctype: of the document that is shown.
        session: of the request.
        signer: the key in the document.

    Specification: ISO/IEC 18013-5, section 9.1.3; PROFILE HB-20, HB-21.
    """
    return cose.sign_detached(_device_authentication(doctype, session), signer=signer)


def make(doctype: str, *, auth: bytes, items: Collection[Item], device_signature: bytes) -> str:
    """The presentation: chosen items and `issuerAuth`, byte for byte as received.

    Args:
        doctype: the type.
        auth: `issuerAuth`, encoded.
        items: what is shown, the items of one namespace together.
        device_signature: from `sign`.

    Returns:
        base64url of CBOR, version 1.0, one document, status 0.

    Specification: OpenID4VP 1.0, B.2.5; HAIP 1.0, section 5.3.1; PROFILE F-MD-08, F-MD-09.
    """
    by_namespace: dict[str, list[bytes]] = {}
    for namespace, _, whole in items:
        by_namespace.setdefault(namespace, []).append(whole)
    parts: list[bytes] = []
    for namespace, each in by_namespace.items():
        parts += (text(namespace), cbor.head(4, len(each)), *each)
    shown = (b"\x6anameSpaces", cbor.head(5, len(by_namespace)), *parts) if parts else ()
    return b64url_encode(
        b"".join(
            (
                b"\xa3\x66status\x00\x67version\x631.0\x69documents\x81\xa3\x67docType",
                text(doctype),
                b"\x6cdeviceSigned\xa2\x6adeviceAuth\xa1\x6fdeviceSignature",
                device_signature,
                b"\x6anameSpaces",
                _NO_NAMESPACES_BYTES,
                b"\x6cissuerSigned",
                b"\xa2" if shown else b"\xa1",
                b"\x6aissuerAuth",
                auth,
                *shown,
            )
        )
    )


class Document(NamedTuple):
    """The one document of a response; nothing of it is verified."""

    doctype: str
    issuer_signed: IssuerSigned
    device_signature: cose.Sign1


def parse(presentation: str) -> Document:
    """Read a presentation.

    Raises:
        InvalidInput: not base64url of a DeviceResponse of version 1.0 with status 0 and exactly one
            document, with a `deviceSignature` and without elements of the device.

    Specification: OpenID4VP 1.0, B.2.5; HAIP 1.0, section 5.3.1; PROFILE F-MD-08, HB-21, HB-26,
    V-61.
    """
    response = cbor.loads(b64url_decode(presentation))
    if (
        type(response) is not dict
        or response.get("version") != _VERSION
        or response.get("status") != 0
        or "documentErrors" in response
    ):
        raise InvalidInput("mdoc: not a DeviceResponse of version 1.0 with status 0")
    documents = response.get("documents")
    if type(documents) is not list or len(documents) != 1 or type(documents[0]) is not dict:
        raise InvalidInput("mdoc: not exactly one document")
    document = documents[0]
    doctype, signed = document.get("docType"), document.get("deviceSigned")
    if type(doctype) is not str or type(signed) is not dict or document.get("errors"):
        raise InvalidInput("mdoc: the document is not complete")
    if cbor.embedded(signed.get("nameSpaces")) != _NO_NAMESPACES:
        raise InvalidInput("mdoc: the device adds elements of its own")
    auth = signed.get("deviceAuth")
    if type(auth) is not dict or len(auth) != 1 or "deviceSignature" not in auth:
        raise InvalidInput("mdoc: not signed by the device")
    return Document(
        doctype, mdoc.parse(document.get("issuerSigned")), cose.parse(auth["deviceSignature"])
    )


def belief(
    document: Document, found: VerifiedMdoc, *, session: Session, algorithms: Collection[str]
) -> cose.Belief:
    """What believes that the holder of *found* shows it in our *session*.

    Args:
        document: from `parse`.
        found: the same document, read.
        session: of our own request, never of the answer.
        algorithms: what is accepted, by the names of JOSE.

    Returns:
        Raises WrongHolder: another key, or another session.

    Raises:
        WrongType: the document says another type than what was signed.
        WrongHolder: no proof that could be one.

    Specification: ISO/IEC 18013-5, section 9.1.3; PROFILE HB-20, HB-26.
    """
    if document.doctype != found.doctype:
        raise WrongType("mdoc: docType is not the one that was signed")
    try:
        believe = document.device_signature.belief(
            found.holder,
            algorithms=algorithms,
            detached=_device_authentication(found.doctype, session),
        )
    except (BadSignature, InvalidInput) as error:
        raise WrongHolder(f"mdoc: {error}") from error
    return partial(_by_holder, believe)


def _by_holder(believe: cose.Belief) -> None:
    try:
        believe()
    except BadSignature as error:
        raise WrongHolder(f"mdoc: {error}") from error
