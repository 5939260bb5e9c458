"""The frame of all pages: languages, policies, files, redirects."""

import base64
import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from shared.errors import NotFound
from shared.runtime.languages import Languages, choose, spoken
from shared.runtime.pages import HERE, Pages, content_security_policy, cookie, redirect

PAGES = Pages(HERE)


def scope(**headers: str) -> dict[str, Any]:
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return {"path": "/a/b", "query_string": b"x=1&y=2", "headers": pairs}


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr, de;q=0.5", "de"),
        ("en;q=0.5, de;q=0.6", "de"),
        ("de;q=0", "en"),
        ("de;q=x, en;q=0.1", "en"),
        (";;,,=", "en"),
        ("xx," * 5_000 + "de", "en"),  # only the first thousand characters count
    ],
)
def test_the_language_is_what_the_browser_likes_best(accept: str, language: str) -> None:
    """RFC 9110, section 12.5.4."""
    assert PAGES.language(scope(accept_language=accept)) == language


def test_a_choice_comes_before_the_header() -> None:
    chosen = {"cookie": "__Host-language=de", "accept_language": "en"}
    assert PAGES.language(scope(**chosen)) == "de"
    assert PAGES.language(scope(**{**chosen, "cookie": "__Host-language=xx"})) == "en"


def test_only_languages_that_all_packages_speak_are_offered(tmp_path: Path) -> None:
    assert Languages([HERE / "locale", tmp_path]).tags == ("en",)
    languages = Languages([HERE / "locale"])
    assert languages.names() == (("en", "English"), ("ar", "العربية"), ("de", "Deutsch"))
    assert [languages.direction(each) for each in languages.tags] == ["ltr", "rtl", "ltr"]
    assert languages.text("de", "Language") == "Sprache"
    assert languages.text("de", "a text that nobody translated") == "a text that nobody translated"


def test_of_several_texts_the_readers_own_is_chosen() -> None:
    texts = {"fr": "Bonjour", "en": "Hello"}
    assert (choose(texts, "fr"), choose(texts, "de"), choose({"fr": "x"}, "de")) == (
        "Bonjour",
        "Hello",
        "x",
    )
    assert (choose({}, "de"), spoken({"fr": "x"}, "de"), spoken({}, "de")) == ("", "fr", "de")


def test_a_policy_names_where_forms_may_lead() -> None:
    """Chromium holds redirects against form-action; an app is named by its scheme."""
    plain = content_security_policy()
    assert "script-src" not in plain
    assert "form-action 'self';" in plain
    wide = content_security_policy(forms_to=["https://w.example:8443/cb?x=1", "app.example:/cb"])
    assert "form-action 'self' https://w.example:8443 app.example:;" in wide
    assert "style-src 'none';" in plain
    scripted = content_security_policy(scripts=True)
    assert "script-src 'self';" in scripted
    assert "require-trusted-types-for 'script'; trusted-types 'none';" in scripted
    assert "worker-src" not in scripted
    app = content_security_policy(scripts=True, installable=True)
    assert "trusted-types service-worker; manifest-src 'self'; worker-src 'self';" in app


def test_the_style_stands_in_the_document_and_nowhere_else_may_one_come_from() -> None:
    """The policy names the very text by its hash; a byte more, and browsers refuse it."""
    call = {**scope(accept_language="ar"), "path": "/"}
    texts = {"marker": "", "code": "", "detail": "", "next_step": "", "support_id": ""}
    answer = PAGES.answer(call, "error.html", **texts)
    page = bytes(answer.body).decode()
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in answer.headers["content-security-policy"]
    assert "/*" not in style
    assert '<html lang="ar" dir="rtl">' in page


def test_a_redirect_cannot_carry_a_header() -> None:
    answer = redirect("https://w.example/cb?x=a b\r\nSet-Cookie: x=1&ü")
    assert "\r" not in answer.headers["location"]
    assert answer.headers["location"].startswith("https://w.example/cb?x=a%20b%0D%0A")
    assert answer.status_code == 303
    assert redirect("/a?x=%20").headers["location"] == "/a?x=%20"


def test_cookies_of_other_programs_do_not_matter() -> None:
    header = 'odd={"a": 1}; =; novalue; mine=value; mine2=other'
    assert cookie(scope(cookie=header), "mine") == "value"
    assert cookie(scope(cookie=header), "yours") is None
    assert cookie(scope(), "mine") is None


def test_files_are_sent_in_gzip_to_whoever_takes_it() -> None:
    """The largest, the decoder of codes, weighs a quarter: pages stay light where it is needed."""
    place = PAGES.asset_url("vendor/qr/decode.js").removeprefix("/static/")
    packed, plain = PAGES.asset(place, ["br, gzip"]), PAGES.asset(place, ["br, gzip;q=0"])
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body == PAGES.asset(place).body
    assert len(packed.body) * 3 < len(plain.body)
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    pictures = Pages(Path(__file__).parents[2] / "wallet_service").asset("icon-192.png", ["gzip"])
    assert "content-encoding" not in pictures.headers  # packed already


def test_files_are_known_by_their_version() -> None:
    """What a module imports beside itself has the same version, so one module is loaded once."""
    url = PAGES.asset_url("frame.css")
    assert url == f"/static/{PAGES.version}/frame.css"
    kept = PAGES.asset(url.removeprefix("/static/"))
    assert "immutable" in kept.headers["cache-control"]
    for place in ("frame.css", "000000000000/frame.css"):
        other = PAGES.asset(place)
        assert (other.body, other.headers["cache-control"]) == (kept.body, "no-cache")
    for place in ("../pages.py", f"{PAGES.version}/../pages.py", "", "/"):
        with pytest.raises(NotFound):
            PAGES.asset(place)
    with pytest.raises(NotFound):
        PAGES.asset_url("nothing.css")
