"""A document type, its signer and its people for tests of mdocs; and the parts of one, opened."""

from typing import Any

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_decode, b64url_encode
from shared.formats import cbor, cose, credential
from shared.formats.credential import Presented, Received, Trusted
from shared.formats.status_list import StatusReference

from .certificates import Authority
from .clock import NOW
from .credentials import ES256, IN_A_YEAR, SESSION, SessionProof, metadata

FORMAT = "mso_mdoc"
DOCTYPE = "org.iso.18013.5.1.mDL"
NAMESPACE = "org.iso.18013.5.1"
IACA = Authority.make("Utopia IACA", country="UT")
SIGNER = IACA.signer(Profile.MDOC_SIGNER, subject="Utopia DS", country="UT")
TRUSTED_MDOC = Trusted(IACA.anchors)
HOLDER = SoftwareKey.generate()
STATUS = StatusReference(412, "https://registry.example/statuslists/1")

PERSON: dict[str, Any] = {
    "family_name": "Möbius",
    "given_name": "Erika",
    "birth_date": "1964-08-12",
    "issued": "2027-02-01T08:30:00Z",
    "portrait": b64url_encode(b"\xff\xd8 a picture"),
    "issuing_country": "UT",
    "age_over_18": True,
    "driving_privileges": [
        {"vehicle_category_code": "B", "issue_date": "1984-01-02"},
        {"vehicle_category_code": "AM"},
    ],
}
CLAIMS = {NAMESPACE: PERSON}


def rule(*path: Any, **members: Any) -> dict[str, Any]:
    return {"path": [NAMESPACE, *path], **members}


LICENCE = metadata(
    rule("family_name", mandatory=True),
    rule("birth_date", mandatory=True, cbor="full-date"),
    rule("issued", cbor="tdate"),
    rule("portrait", cbor="bstr"),
    rule("driving_privileges"),
    rule("driving_privileges", None, "issue_date", cbor="full-date"),
    vct=DOCTYPE,
)


def element(name: str) -> tuple[str, str]:
    return (NAMESPACE, name)


def issued(claims: Any = None, **changes: Any) -> str:
    options: dict[str, Any] = {
        "metadata": LICENCE,
        "holder": HOLDER.public,
        "status": STATUS,
        "issued_at": NOW,
        "expires_at": IN_A_YEAR,
        "signer": SIGNER,
    }
    return credential.issue(FORMAT, claims or CLAIMS, **{**options, **changes})


def received(text: str | None = None, **changes: Any) -> Received:
    options: dict[str, Any] = {
        "expected_type": DOCTYPE,
        "keys": [HOLDER.public],
        "trusted": TRUSTED_MDOC,
        "now": NOW,
        "algorithms": ES256,
    }
    return credential.receive(FORMAT, issued() if text is None else text, **{**options, **changes})


def presented(*names: str, text: str | None = None, proof: Any = None) -> str:
    return credential.present(
        received(text).held,
        paths=[element(each) for each in names],
        proof=proof or SessionProof(HOLDER),
    )


def verified(text: str, **changes: Any) -> Presented:
    options: dict[str, Any] = {
        "session": SESSION,
        "holder_binding": True,
        "trusted": TRUSTED_MDOC,
        "now": NOW,
        "algorithms": ES256,
    }
    return credential.verify(FORMAT, text, **{**options, **changes})


def opened(text: str) -> Any:
    """The CBOR item behind base64url."""
    return cbor.loads(b64url_decode(text))


def closed(value: Any) -> str:
    return b64url_encode(cbor.dumps(value))


def security_object(issuer_signed: Any) -> Any:
    """The Mobile Security Object of an opened `IssuerSigned`."""
    return cbor.loads(cbor.embedded(cbor.loads(issuer_signed["issuerAuth"][2])))


def signed_again(issuer_signed: Any, security: Any, signer: SoftwareKey = SIGNER) -> Any:
    """The same elements under another Mobile Security Object."""
    auth = cose.sign(cbor.embed(cbor.dumps(security)), signer=signer)
    return {**issuer_signed, "issuerAuth": cbor.loads(auth)}
