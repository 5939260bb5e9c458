"""docs/trust-list.md shows a list that services take."""

import re
from pathlib import Path

from shared.trust import Role, TrustList
from tests.support.clock import NOW

DOCUMENT = Path(__file__).parents[2] / "docs" / "trust-list.md"


def test_the_documented_example_is_a_list_that_services_take() -> None:
    """DESIGN 4; C-32."""
    [example] = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    trust_list = TrustList.parse(example.encode(), version=1)
    assert trust_list.is_test
    for role in Role:
        assert trust_list.anchors(role, now=NOW)
    assert trust_list.pinned(Role.CREDENTIAL, now=NOW, credential_type="urn:eudi:pid:1")


def test_every_member_of_the_example_is_explained() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text[text.index("| Member | Meaning |") :]
    example = text[: text.index("| Member | Meaning |")]
    for member in ("environment", "id", "names", "contacts", "credential_issuers", "anchors"):
        assert f'"{member}"' in example
        assert f"`{member}`" in table
    for member in ("issues", "asks", "revoked", "valid_from", "valid_until", "pinned", "texts"):
        assert f'"{member}"' in example
        assert f"`{member}`" in table
