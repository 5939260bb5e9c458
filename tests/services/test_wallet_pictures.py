"""Logos, colours and pictures of cards: fetched once, made harmless, sealed, shown from there."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.demo.phone import Phone
from shared.formats import type_metadata
from tests.support.asgi import AsgiClient
from tests.support.trust import MDOC, PID, PID_MDOC, RESIDENCE, SD_JWT, issue, trust_list
from tests.support.wallet import TX_CODE, WalletWorld, agencies, type_document
from wallet_service.tables import pictures

IMAGES = "https://images.example"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>'
HOSTILE = (
    b'<svg xmlns="http://www.w3.org/2000/svg"><script>evil()</script>'
    b'<image href="https://evil.example/track.png"/><circle r="4" onload="evil()"/></svg>'
)
CARD = (
    b'<svg xmlns="http://www.w3.org/2000/svg"><text>{{family_name}}</text><text>{{gone}}</text>'
    b"</svg>"
)


class Gallery:
    """Serves images; a test says how."""

    answers: dict[str, Callable[[], Response]]

    def __init__(self) -> None:
        self.answers = {
            "logo.svg": lambda: Response(LOGO, media_type="image/svg+xml"),
            "hostile.svg": lambda: Response(HOSTILE, media_type="image/svg+xml"),
            "logo.png": lambda: Response(PNG, media_type="image/png"),
            "card.svg": lambda: Response(CARD, media_type="image/svg+xml"),
            "page.png": lambda: Response("<script>", media_type="text/html"),
            "lying.png": lambda: Response(HOSTILE, media_type="image/png"),
            "huge.png": lambda: Response(PNG.ljust(600_000, b"\0"), media_type="image/png"),
            "away.png": lambda: Response(status_code=302, headers={"Location": f"{IMAGES}/x.png"}),
            "down.png": lambda: Response(status_code=503),
        }
        self.documents: dict[str, bytes] = {}

    async def serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        assert "cookie" not in request.headers
        if name in self.documents:
            return Response(self.documents[name], media_type="application/json")
        found = self.answers.get(name)
        return Response(status_code=404) if found is None else found()


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery()


@pytest.fixture(scope="module")
def shared_world(
    new_database_url: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
    gallery: Gallery,
) -> Iterator[WalletWorld]:
    made = WalletWorld.make(tmp_path_factory.mktemp("w"), new_database_url(), new_database_url())
    app = Starlette(routes=[Route("/{name}", gallery.serve)])
    served = made.services[IMAGES] = AsgiClient(app, base_url=IMAGES)
    served.__enter__()
    transport: Any = made.wallet.fetcher._pool
    transport.services[IMAGES] = served
    yield made
    made.close()


def says(world: WalletWorld, **display: Any) -> None:
    """What the issuer's metadata say of every document it issues."""

    def looks(found: dict[str, Any]) -> None:
        for each in found["credential_configurations_supported"].values():
            name = each["credential_metadata"]["display"][0]["name"]
            each["credential_metadata"]["display"] = [{"name": name, "locale": "en", **display}]
        found["display"] = [
            {"locale": "fr", "logo": {"uri": f"{IMAGES}/logo.svg", "alt_text": "Registre"}},
            {"locale": "en", "logo": {"uri": f"{IMAGES}/logo.svg", "alt_text": "Registry"}},
        ]

    world.issuer.looks = looks


def typed(world: WalletWorld, gallery: Gallery, rendering: Any, kind: str = PID) -> None:
    """Type Metadata of the trust list with this rendering."""
    document = json.loads(type_document(kind))
    document["display"][0]["rendering"] = rendering
    names = {("family_name",): "family_name", ("birthdate",): "gone"}
    for each in document["claims"]:
        if (name := names.get(tuple(each["path"][-1:]))) is not None:
            each["svg_id"] = name
    gallery.documents["type.json"] = content = json.dumps(document).encode()
    metadata = {"uri": f"{IMAGES}/type.json", "integrity": type_metadata.integrity(content)}
    format_ = MDOC if kind == PID_MDOC else SD_JWT
    held = agencies()
    world.trust.held = trust_list(
        held.registry.entry(issues=[issue(kind, format=format_, type_metadata=metadata)]),
        held.counter.entry(),
        held.provider.entry(),
    )


def received(world: WalletWorld, kind: str = PID, **options: Any) -> tuple[Phone, dict[str, Any]]:
    phone = world.new_phone(**options)
    [card] = phone.receive(world.issuer.offer(kind), TX_CODE)
    world.seen.clear()
    [listed] = phone.cards()
    shown = phone.card(card)
    for name in ("logo", "issuer_logo", "background", "picture", "colors"):
        assert listed[name] == shown[name]
    return phone, shown


def fetched(phone: Phone, url: str) -> Any:
    headers = {"Authorization": f"Bearer {phone._token}"}
    return phone.client.request("GET", url, headers=headers)


def data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("kind", [PID, PID_MDOC], ids=["sd_jwt", "mdoc"])
@pytest.mark.parametrize(
    ("uri", "media_type", "content"),
    [
        (f"{IMAGES}/logo.png", "image/png", PNG),
        (f"{IMAGES}/logo.svg", "image/svg+xml", b'<circle r="4">'),
        (data("image/png", PNG), "image/png", PNG),
        (data("image/svg+xml", LOGO), "image/svg+xml", b'<circle r="4">'),
    ],
    ids=["https png", "https svg", "data png", "data svg"],
)
def test_logos_of_both_kinds_come_both_ways(
    world: WalletWorld, kind: str, uri: str, media_type: str, content: bytes
) -> None:
    """W-06: HAIP 4.1; shown from what was sealed with the card: nobody is called."""
    says(world, logo={"uri": uri, "alt_text": "Eagle"}, background_color="#1D3B6F")
    phone, card = received(world, kind)
    assert card["logo"]["alt"] == "Eagle"
    answer = fetched(phone, card["logo"]["url"])
    assert answer.headers["content-type"] == media_type
    assert content in answer.content
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    assert card["issuer_logo"]["alt"] == "Registry"
    assert fetched(phone, card["issuer_logo"]["url"]).status_code == 200
    assert card["colors"] == {"background": "#1d3b6f", "text": "#ffffff"}
    assert (card["picture"], card["background"]) == (None, None)
    assert world.seen == []


@pytest.mark.parametrize(
    "uri",
    [
        f"{IMAGES}/page.png",
        f"{IMAGES}/lying.png",
        f"{IMAGES}/huge.png",
        f"{IMAGES}/away.png",
        f"{IMAGES}/down.png",
        f"{IMAGES}/missing.png",
        "http://images.example/logo.png",
        "https://images.example:8443/logo.png",
        "https://user@images.example/logo.png",
        "file:///etc/passwd",
        "javascript:alert(1)",
        data("image/gif", b"GIF89a"),
        data("image/svg+xml", b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>"),
    ],
)
def test_a_hostile_logo_is_left_out_and_the_card_stays(world: WalletWorld, uri: str) -> None:
    """W-06, S-10, S-11, S-20: other types, too large, redirects, other schemes and ports."""
    says(world, logo={"uri": uri})
    phone, card = received(world)
    assert card["logo"] is None
    assert card["claims"]
    assert fetched(phone, f"/api/v1/credentials/{card['id']}/images/logo").status_code == 404
    assert world.at("x.png") == []


def test_what_runs_or_calls_home_is_not_in_a_logo(world: WalletWorld) -> None:
    """W-06, F-TM-07, F-TM-09: an SVG is rebuilt from what is allowed."""
    says(world, logo={"uri": f"{IMAGES}/hostile.svg"})
    phone, card = received(world)
    content = fetched(phone, card["logo"]["url"]).content
    assert b"evil" not in content
    assert b'<circle r="4">' in content


@pytest.mark.parametrize("kind", [PID, PID_MDOC], ids=["sd_jwt", "mdoc"])
def test_the_type_draws_the_card_with_its_claims(
    world: WalletWorld, gallery: Gallery, kind: str
) -> None:
    """F-TM-05, F-TM-07: the template for a card on a light page, filled, its integrity checked."""
    template = {
        "uri": f"{IMAGES}/card.svg",
        "uri#integrity": type_metadata.integrity(CARD),
        "properties": {"orientation": "landscape", "color_scheme": "light"},
    }
    dark = {"uri": f"{IMAGES}/dark.svg", "properties": {"color_scheme": "dark"}}
    if kind == PID_MDOC:
        gallery.answers["card.svg"] = lambda: Response(
            CARD.replace(b"{{gone}}", b""), media_type="image/svg+xml"
        )
        template["uri#integrity"] = type_metadata.integrity(CARD.replace(b"{{gone}}", b""))
    world.issuer.claims = {**world.issuer.claims}
    world.issuer.claims[PID] = {
        name: each for name, each in world.issuer.claims[PID].items() if name != "birthdate"
    }
    simple = {
        "logo": {"uri": f"{IMAGES}/logo.svg", "alt_text": "Of the type"},
        "background_color": "#ffffff",
        "text_color": "#eeeeee",
    }
    typed(world, gallery, {"simple": simple, "svg_templates": [dark, template]}, kind)
    says(world, logo={"uri": f"{IMAGES}/logo.png"}, background_color="#000000")
    phone, card = received(world, kind)
    answer = fetched(phone, card["picture"])
    assert "<text>Möbius</text><text></text>" in answer.content.decode()
    # What the trust list's document says goes before what the issuer says; and one can read it.
    assert card["logo"]["alt"] == "Of the type"
    assert card["colors"] == {"background": "#ffffff", "text": "#000000"}
    gallery.answers["card.svg"] = lambda: Response(CARD, media_type="image/svg+xml")


def test_a_picture_that_is_another_one_or_knows_other_claims_is_left_out(
    world: WalletWorld, gallery: Gallery
) -> None:
    """F-TM-03, F-TM-07: integrity of another file; a placeholder the type does not know."""
    other = {"uri": f"{IMAGES}/card.svg", "uri#integrity": type_metadata.integrity(b"")}
    typed(world, gallery, {"svg_templates": [other]})
    assert received(world)[1]["picture"] is None
    unknown = CARD.replace(b"{{gone}}", b"{{unheard_of}}")
    uri = data("image/svg+xml", unknown)
    typed(world, gallery, {"svg_templates": [{"uri": uri}]})
    assert received(world)[1]["picture"] is None


def test_images_are_for_their_wallet_alone_and_go_with_the_card(world: WalletWorld) -> None:
    """WALLET_SECURITY 2 and 3: sealed in their row; nobody else's, and nothing left behind."""
    says(world, logo={"uri": f"{IMAGES}/logo.png"})
    phone, card = received(world)
    url = card["logo"]["url"]
    assert fetched(world.new_phone(), url).status_code == 404
    assert phone.client.request("GET", url).status_code == 401
    rows = select(pictures.c.sealed).where(pictures.c.credential == card["id"])
    with world.wallet.database.reading() as connection:
        sealed = connection.execute(rows).scalar_one()
    assert PNG not in sealed
    phone.delete_card(card["id"])
    with world.wallet.database.reading() as connection:
        left = select(func.count()).select_from(pictures).where(pictures.c.wallet == phone.wallet)
        assert connection.execute(left).scalar_one() == 0
    assert fetched(phone, url).status_code == 404


def test_the_language_of_the_citizen_chooses(world: WalletWorld) -> None:
    """F-TM-05: of several logos the one whose language suits."""
    says(world)
    assert received(world, locale="fr-CH")[1]["issuer_logo"]["alt"] == "Registre"


def test_all_images_of_one_answer_share_one_bound(world: WalletWorld, gallery: Gallery) -> None:
    """S-20: two documents with large images; what is beyond the bound is left out."""
    large = PNG.ljust(500_000, b"\0")
    gallery.answers["big.png"] = lambda: Response(large, media_type="image/png")
    big = {"uri": f"{IMAGES}/big.png"}
    says(world, logo=big, background_image=big)
    phone = world.new_phone()
    phone.receive(world.issuer.offer(PID, RESIDENCE, PID_MDOC), TX_CODE)
    cards = phone.cards()
    kept = [card[name] for card in cards for name in ("logo", "background") if card[name]]
    assert len(kept) == 4
    assert fetched(phone, kept[0]["url"]).content == large
