"""The document of ISO/IEC 18013-5, annex D, is read and believed as the standard made it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.encoding import b64url_encode
from shared.errors import BadSignature, Expired, InvalidInput, Untrusted, WrongDigest
from shared.formats import cbor, device_response, mdoc
from shared.formats.credential import Trusted
from shared.formats.mdoc import VerifiedMdoc
from tests.support.credentials import ES256

# ISO/IEC 18013-5, annex D.4.1.2 and D.5.2 (as in the tests of nl-wallet, crates/libs/mdoc); the
# portrait is left out. Its signer is "utopia ds", its root "utopia iaca".
NAMESPACE = "org.iso.18013.5.1"
ITEMS = (
    (
        "d8185863a4686469676573744944006672616e646f6d58208798645b20ea200e19ffabac92624bee6aec63aceedecf"
        "b1b80077d22bfc20e971656c656d656e744964656e7469666965726b66616d696c795f6e616d656c656c656d656e74"
        "56616c756563446f65"
    ),
    (
        "d818586ca4686469676573744944036672616e646f6d5820b23f627e8999c706df0c0a4ed98ad74af988af619b4bb0"
        "78b89058553f44615d71656c656d656e744964656e7469666965726a69737375655f646174656c656c656d656e7456"
        "616c7565d903ec6a323031392d31302d3230"
    ),
    (
        "d818586da4686469676573744944046672616e646f6d5820c7ffa307e5de921e67ba5878094787e8807ac8e7b5b393"
        "2d2ce80f00f3e9abaf71656c656d656e744964656e7469666965726b6578706972795f646174656c656c656d656e74"
        "56616c7565d903ec6a323032342d31302d3230"
    ),
    (
        "d818586da4686469676573744944076672616e646f6d582026052a42e5880557a806c1459af3fb7eb505d378156632"
        "9d0b604b845b5f9e6871656c656d656e744964656e7469666965726f646f63756d656e745f6e756d6265726c656c65"
        "6d656e7456616c756569313233343536373839"
    ),
    (
        "d81858ffa4686469676573744944096672616e646f6d58204599f81beaa2b20bd0ffcc9aa03a6f985befab3f6beaff"
        "a41e6354cdb2ab2ce471656c656d656e744964656e7469666965727264726976696e675f70726976696c656765736c"
        "656c656d656e7456616c756582a37576656869636c655f63617465676f72795f636f646561416a69737375655f6461"
        "7465d903ec6a323031382d30382d30396b6578706972795f64617465d903ec6a323032342d31302d3230a375766568"
        "69636c655f63617465676f72795f636f646561426a69737375655f64617465d903ec6a323031372d30322d32336b65"
        "78706972795f64617465d903ec6a323032342d31302d3230"
    ),
)
SIGNER = (
    "308201ef30820195a00302010202143c4416eed784f3b413e48f56f075abfa6d87eb84300a06082a8648ce3d040302"
    "30233114301206035504030c0b75746f7069612069616361310b3009060355040613025553301e170d323031303031"
    "3030303030305a170d3231313030313030303030305a30213112301006035504030c0975746f706961206473310b30"
    "090603550406130255533059301306072a8648ce3d020106082a8648ce3d03010703420004ace7ab7340e5d9648c5a"
    "72a9a6f56745c7aad436a03a43efea77b5fa7b88f0197d57d8983e1b37d3a539f4d588365e38cbbf5b94d68c547b5b"
    "c8731dcd2f146ba381a83081a5301e0603551d120417301581136578616d706c65406578616d706c652e636f6d301c"
    "0603551d1f041530133011a00fa00d820b6578616d706c652e636f6d301d0603551d0e0416041414e29017a6c35621"
    "ffc7a686b7b72db06cd12351301f0603551d2304183016801454fa2383a04c28e0d930792261c80c4881d2c00b300e"
    "0603551d0f0101ff04040302078030150603551d250101ff040b3009060728818c5d050102300a06082a8648ce3d04"
    "0302034800304502210097717ab9016740c8d7bcdaa494a62c053bbdecce1383c1aca72ad08dbc04cbb202203bad85"
    "9c13a63c6d1ad67d814d43e2425caf90d422422c04a8ee0304c0d3a68d"
)
SECURITY = (
    "d81859039da66776657273696f6e63312e306f646967657374416c676f726974686d675348412d3235366c76616c75"
    "6544696765737473a2716f72672e69736f2e31383031332e352e31ad00582075167333b47b6c2bfb86eccc1f438cf5"
    "7af055371ac55e1e359e20f254adcebf01582067e539d6139ebd131aef441b445645dd831b2b375b390ca5ef6279b2"
    "05ed45710258203394372ddb78053f36d5d869780e61eda313d44a392092ad8e0527a2fbfe55ae0358202e35ad3c4e"
    "514bb67b1a9db51ce74e4cb9b7146e41ac52dac9ce86b8613db555045820ea5c3304bb7c4a8dcb51c4c13b65264f84"
    "5541341342093cca786e058fac2d59055820fae487f68b7a0e87a749774e56e9e1dc3a8ec7b77e490d21f0e1d34756"
    "61aa1d0658207d83e507ae77db815de4d803b88555d0511d894c897439f5774056416a1c7533075820f0549a145f1c"
    "f75cbeeffa881d4857dd438d627cf32174b1731c4c38e12ca936085820b68c8afcb2aaf7c581411d2877def155be2e"
    "b121a42bc9ba5b7312377e068f660958200b3587d1dd0c2a07a35bfb120d99a0abfb5df56865bb7fa15cc8b56a66df"
    "6e0c0a5820c98a170cf36e11abb724e98a75a5343dfa2b6ed3df2ecfbb8ef2ee55dd41c8810b5820b57dd036782f7b"
    "14c6a30faaaae6ccd5054ce88bdfa51a016ba75eda1edea9480c5820651f8736b18480fe252a03224ea087b5d10ca5"
    "485146c67c74ac4ec3112d4c3a746f72672e69736f2e31383031332e352e312e5553a4005820d80b83d25173c484c5"
    "640610ff1a31c949c1d934bf4cf7f18d5223b15dd4f21c0158204d80e1e2e4fb246d97895427ce7000bb59bb24c8cd"
    "003ecf94bf35bbd2917e340258208b331f3b685bca372e85351a25c9484ab7afcdf0d2233105511f778d98c2f54403"
    "5820c343af1bd1690715439161aba73702c474abf992b20c9fb55c36a336ebe01a876d6465766963654b6579496e66"
    "6fa1696465766963654b6579a401022001215820"
    "96313d6c63e24e3372742bfdb1a33ba2c897dcd68ab8c753e4fbd48dca6b7f9a225820"
    "1fb3269edd418857de1b39a4e4a44b92fa484caa722c228288f01d0c03a2c3d6"
    "67646f6354797065756f72672e69736f2e31383031332e352e312e6d444c6c76616c6964697479496e666fa3667369"
    "676e6564c074323032302d31302d30315431333a33303a30325a6976616c696446726f6dc074323032302d31302d30"
    "315431333a33303a30325a6a76616c6964556e74696cc074323032312d31302d30315431333a33303a30325a"
)
SIGNATURE = (
    "59e64205df1e2f708dd6db0847aed79fc7c0201d80fa55badcaf2e1bcf5902e1e5a62e4832044b890ad85aa53f1291"
    "34775d733754d7cb7a413766aeff13cb2e"
)
# D.5.3: the deviceMac of the same response.
DEVICE_MAC = "8443a10105a0f65820e99521a85ad7891b806a07f8b5388a332d92c189a7bf293ee1f543405ae6824d"
THEN = datetime(2021, 3, 1, tzinfo=UTC)
LEAF = bytes.fromhex(SIGNER)


def document(*, items: tuple[str, ...] = ITEMS, signature: str = SIGNATURE) -> Any:
    payload = bytes.fromhex(SECURITY)
    return {
        "nameSpaces": {NAMESPACE: [cbor.loads(bytes.fromhex(each)) for each in items]},
        "issuerAuth": [b"\xa1\x01\x26", {33: LEAF}, payload, bytes.fromhex(signature)],
    }


def verify(value: Any, **changes: Any) -> VerifiedMdoc:
    trusted = Trusted(frozenset(), pinned=frozenset({LEAF}))
    options = {"trusted": trusted, "now": THEN, "algorithms": ES256}
    return mdoc.verify(mdoc.parse(value), **{**options, **changes})


def test_the_document_of_the_standard_is_believed() -> None:
    """F-MD-01, F-MD-03, F-MD-04, F-MD-07, C-42: signature, digests, times, dates by tag 1004."""
    found = verify(document())
    assert found.doctype == "org.iso.18013.5.1.mDL"
    assert found.claims == {
        NAMESPACE: {
            "family_name": "Doe",
            "issue_date": "2019-10-20",
            "expiry_date": "2024-10-20",
            "document_number": "123456789",
            "driving_privileges": [
                {
                    "vehicle_category_code": "A",
                    "issue_date": "2018-08-09",
                    "expiry_date": "2024-10-20",
                },
                {
                    "vehicle_category_code": "B",
                    "issue_date": "2017-02-23",
                    "expiry_date": "2024-10-20",
                },
            ],
        }
    }
    assert [whole.hex() for _, _, whole in found.items] == list(ITEMS)
    assert found.holder.x.hex().startswith("96313d6c63e24e33")
    assert found.status is None
    assert found.validity.issued_at == datetime(2020, 10, 1, 13, 30, 2, tzinfo=UTC)


def test_its_smallest_change_is_not() -> None:
    """F-MD-01, F-MD-07: a name, a signature, a time after its end, a signer nobody named."""
    with pytest.raises(WrongDigest):
        verify(document(items=(ITEMS[0].replace("446f65", "446f66"),)))
    with pytest.raises(BadSignature):
        verify(document(signature=SIGNATURE[:-1] + "f"))
    with pytest.raises((Expired, Untrusted)):
        verify(document(), now=THEN + timedelta(days=365))
    with pytest.raises(Untrusted):
        verify(document(), trusted=Trusted(frozenset()))


def test_its_proof_of_the_device_is_of_the_kind_that_is_not_offered() -> None:
    """HB-21: the standard's example is a MAC for a reader nearby; over OpenID4VP it is refused."""
    response = {
        "version": "1.0",
        "documents": [
            {
                "docType": "org.iso.18013.5.1.mDL",
                "issuerSigned": document(),
                "deviceSigned": {
                    "nameSpaces": cbor.Tag(24, b"\xa0"),
                    "deviceAuth": {"deviceMac": cbor.loads(bytes.fromhex(DEVICE_MAC))},
                },
            }
        ],
        "status": 0,
    }
    with pytest.raises(InvalidInput, match="not signed by the device"):
        device_response.parse(b64url_encode(cbor.dumps(response)))
