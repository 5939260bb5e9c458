"""shared/formats/svg_templates.py: harmless, then filled."""

from xml.etree import ElementTree as ET

import pytest

from shared.errors import InvalidInput
from shared.formats.svg_templates import escape, render, values
from tests.support.credentials import CLAIMS, metadata

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">{}</svg>'


def rendered(inside: str, **texts: str) -> str:
    result = render(SVG.format(inside).encode(), texts)
    ET.fromstring(result)  # noqa: S314  our own output, and it must be XML
    return result


def test_the_printed_example_is_filled() -> None:
    """F-TM-07: SD-JWT VC, section 8.1.2.2."""
    inside = '<text x="10" y="20">Street address: {{address_street_address}}</text>'
    result = rendered(inside, address_street_address="42 Market Street")
    assert '<text x="10" y="20">Street address: 42 Market Street</text>' in result


@pytest.mark.parametrize("character", "&<>\"'")
def test_values_are_escaped(character: str) -> None:
    """F-TM-07: SD-JWT VC, section 8.1.2.2: five characters."""
    result = rendered("<text>{{name}}</text>", name=f"a{character}b")
    assert f"a{escape(character)}b" in result
    assert ET.fromstring(result)[0].text == f"a{character}b"  # noqa: S314  our own output


def test_a_value_cannot_become_markup_or_another_placeholder() -> None:
    """F-TM-07: values are text, whatever they hold."""
    result = rendered("<text>{{name}}</text>", name="<script>{{other}}</script>", other="x")
    assert "<script" not in result
    assert "{{other}}" in result


def test_an_unknown_placeholder_stops_the_rendering_and_an_absent_claim_does_not() -> None:
    """F-TM-07: svg_id unknown to the type; claim not in the credential."""
    with pytest.raises(InvalidInput):
        rendered("<text>{{unknown}}</text>", name="x")
    assert "<text>Name: </text>" in rendered("<text>Name: {{name}}</text>", name="")


@pytest.mark.parametrize(
    "inside", ['<text x="{{name}}">a</text>', "<!-- {{name}} --><text>a</text>"]
)
def test_placeholders_outside_of_text_are_refused(inside: str) -> None:
    """F-TM-07: SD-JWT VC, section 8.1.2.2: not in attributes or comments."""
    with pytest.raises(InvalidInput):
        rendered(inside, name="x")


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<script href="https://evil.example/x.js"/>',
        "<style>@import url(https://evil.example/x.css);</style>",
        '<foreignObject><iframe src="https://evil.example"/></foreignObject>',
        '<a href="javascript:alert(1)"><text>evil</text></a>',
        '<image href="https://evil.example/track.png"/>',
        '<image xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="https://evil.example/x"/>',
        '<image href="data:image/svg+xml;base64,PHN2Zy8+evil"/>',
        '<use href="https://evil.example/x.svg#a"/>',
        '<use href="data:image/svg+xml,evil#a"/>',
        '<rect fill="url(https://evil.example/x.svg#a)"/>',
        '<rect fill="URL(//evil.example/x)"/>',
        r'<rect fill="u\72l(//evil.example/x)"/>',
        '<rect style="background:url(https://evil.example)"/>',
        '<rect onload="evil()" onclick="evil()"/>',
        '<animate attributeName="href" to="javascript:evil()"/>',
        '<set attributeName="onload" to="evil()"/>',
        "<rect><script>evil()</script></rect>",
        '<x:script xmlns:x="http://www.w3.org/2000/svg">evil()</x:script>',
        "<metadata>evil</metadata>",
        "<text><![CDATA[<script>evil</script>]]></text>",
        '<?xml-stylesheet href="https://evil.example/x.css"?>',
        '<filter><feImage href="https://evil.example/x"/></filter>',
    ],
)
def test_nothing_that_runs_or_is_loaded_from_elsewhere_remains(inside: str) -> None:
    """F-TM-07, F-TM-09: scripts, handlers, styles, links, external references."""
    result = rendered(inside)
    assert "<script" not in result
    assert "javascript" not in result
    assert "https://evil" not in result
    assert "//evil" not in result
    assert "onload=" not in result
    assert "onclick=" not in result
    if "CDATA" not in inside:
        assert "evil" not in result


def test_harmless_drawing_remains() -> None:
    """F-TM-07: local references, gradients and embedded pictures stay."""
    inside = (
        '<defs><linearGradient id="g"><stop offset="0" stop-color="#fff"/></linearGradient></defs>'
        '<rect width="9" fill="url(#g)"/><use href="#g"/>'
        '<g transform="rotate(5)"><title>T</title></g>'
        '<image href="data:image/png;base64,iVBORw0KGgo=" width="1"/>'
    )
    result = rendered(inside)
    assert 'fill="url(#g)"' in result
    assert 'href="#g"' in result
    assert 'href="data:image/png;base64,iVBORw0KGgo="' in result
    assert "<title>T</title>" in result


@pytest.mark.parametrize(
    "template",
    [
        b"",
        b"text",
        b"<svg>",
        b"<html><svg/></html>",
        b"<!DOCTYPE svg><svg xmlns='http://www.w3.org/2000/svg'/>",
        b'<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>',
        b"<svg>&undefined;</svg>",
        b"\xff\xfe<svg/>",
        b"<svg>" + b"<g>" * 70 + b"</g>" * 70 + b"</svg>",
        b"<svg>" + b" " * 512 * 1024 + b"</svg>",
    ],
)
def test_what_is_no_plain_svg_is_refused(template: bytes) -> None:
    """F-TM-07, S-20: entities, other documents, endless ones."""
    with pytest.raises(InvalidInput):
        render(template, {})


def test_parts_that_are_drawn_again_and_again_are_refused() -> None:
    """F-TM-09: each level draws the one below it twice; a browser would draw billions."""
    levels = "".join(
        f'<g id="l{n + 1}"><use href="#l{n}"/><use href="#l{n}"/></g>' for n in range(40)
    )
    with pytest.raises(InvalidInput):
        rendered(f'<defs><g id="l0"/>{levels}</defs><use href="#l40"/>')


def test_a_template_that_grows_too_large_is_refused() -> None:
    """F-TM-09: many placeholders with long values."""
    inside = "<text>" + "{{name}}" * 10_000 + "</text>"
    with pytest.raises(InvalidInput):
        rendered(inside, name="x" * 500)


def test_values_come_from_the_claims_by_svg_id() -> None:
    """F-TM-07: absent claims give empty text; long ones are cut (F-TM-09)."""
    rules = metadata(
        {"path": ["family_name"], "svg_id": "name"},
        {"path": ["nationalities", None], "svg_id": "nationalities"},
        {"path": ["nationalities"], "svg_id": "all"},
        {"path": ["address"], "svg_id": "address"},
        {"path": ["level"], "svg_id": "level"},
        {"path": ["absent"], "svg_id": "absent"},
        {"path": ["given_name"]},
    )
    assert values(rules, CLAIMS) == {
        "name": "Möbius",
        "nationalities": "DE, FR, IS",
        "all": "DE, FR, IS",
        "address": "",
        "level": "3",
        "absent": "",
    }
    assert len(values(rules, {"family_name": "x" * 5000})["name"]) == 500
