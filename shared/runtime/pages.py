"""Pages for people: one frame, one style, several languages, a strict Content-Security-Policy.

A service names its packages' directories once; `answer` then renders a template in the language of
the reader (a cookie they chose, else Accept-Language). Templates extend `frame.html`, escape by
themselves, and fail at what is undefined. The style stands in the document (one
round trip to the first paint), nothing else is inline, nothing comes from elsewhere; pages work
without scripts unless they say that they have some. WCAG 2.2 AA; CERTIFICATION 3.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response
from starlette.types import Scope

from ..errors import NotFound
from .languages import Languages
from .negotiation import accepts_gzip

HERE = Path(__file__).parent
LANGUAGE_COOKIE = "__Host-language"
_YEAR = 31_536_000
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}


def content_security_policy(
    style: str = "'none'",
    *,
    scripts: bool = False,
    installable: bool = False,
    forms_to: Sequence[str] = (),
) -> str:
    """The policy of one page: its own files, the style that stands in it, and nothing else.

    Args:
        style: the hash of the style in the document, as a source expression.
        scripts: the page has scripts of ours; without them none run. No text becomes markup or a
            script's address (Trusted Types).
        installable: the page belongs to an app with a manifest and a service worker, whose address
            goes through the one Trusted Types policy there is.
        forms_to: URLs to which a form's answer may redirect the browser, beside ourselves:
            Chromium holds redirects after a form against `form-action`, too.
    """
    targets = " ".join(["'self'", *(_source(each) for each in forms_to)])
    parts = ["default-src 'none'", f"style-src {style}", "img-src 'self' data:"]
    if scripts:
        policy = "service-worker" if installable else "'none'"
        parts += [
            "script-src 'self'",
            "connect-src 'self'",
            "require-trusted-types-for 'script'",
            f"trusted-types {policy}",
        ]
    if installable:
        parts += ["manifest-src 'self'", "worker-src 'self'"]
    return "; ".join(
        [*parts, f"form-action {targets}", "base-uri 'none'", "frame-ancestors 'none'"]
    )


def _source(url: str) -> str:
    """The origin of *url* as a source expression; of other schemes than the web's the scheme."""
    parts = urlsplit(url)
    web = parts.scheme in {"https", "http"}
    return f"{parts.scheme}://{parts.netloc}" if web else f"{parts.scheme}:"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load."""

    content: bytes
    packed: bytes | None
    """The same in gzip, where that is much smaller; it is public, so its length tells nothing."""
    media_type: str


class Pages:
    """The pages of one service.

    Args:
        packages: directories with any of `templates`, `static` and `locale`; the frame's own come
            last, so that a service may replace a template.
        lent: files that pages of any other origin may load as script modules, too.
    """

    def __init__(self, *packages: Path, lent: Collection[str] = ()) -> None:
        self._lent = frozenset(lent)
        places = [*packages, HERE]
        self.languages = Languages(
            [each / "locale" for each in places if (each / "locale").is_dir()]
        )
        self._assets = {
            path.relative_to(each / "static").as_posix(): _asset(path)
            for each in reversed(places)
            for path in sorted((each / "static").rglob("*.*"))
        }
        found = (each.content for _, each in sorted(self._assets.items()))
        self.version = hashlib.sha256(b"".join(found)).hexdigest()[:12]
        self.style = _style(self._assets)
        digest = hashlib.sha256(self.style.encode()).digest()
        self._style_source = f"'sha256-{base64.b64encode(digest).decode()}'"
        loader = ChoiceLoader([FileSystemLoader(each / "templates") for each in places])
        self._environments = {tag: self._environment(loader, tag) for tag in self.languages.tags}

    def _environment(self, loader: ChoiceLoader, tag: str) -> Environment:
        environment = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        translations = self.languages.translations(tag)
        environment.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]  # of the extension
        environment.globals.update(
            language=tag,
            direction=self.languages.direction(tag),
            languages=self.languages.names(),
            style=Markup(self.style),  # noqa: S704  # our own files
            asset=self.asset_url,
        )
        return environment

    def language(self, scope: Scope) -> str:
        """The language of whoever sent the request."""
        chosen = cookie(scope, LANGUAGE_COOKIE)
        if chosen in self.languages.tags:
            return str(chosen)
        return self.languages.preferred(_header(scope, b"accept-language"))

    def text(self, scope: Scope, message: str) -> str:
        """*message*, an English text of ours, for whoever sent the request."""
        return self.languages.text(self.language(scope), message)

    def answer(
        self,
        scope: Scope,
        template: str,
        *,
        status: int = 200,
        scripts: bool = False,
        installable: bool = False,
        forms_to: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """A page, never kept (C-51), with its policy.

        Args:
            scope: of the request (`call.scope`).
            template: its file name.
            status: of the answer.
            scripts: see `content_security_policy`, as for the next two.
            installable: see there.
            forms_to: see there.
            headers: further ones.
            values: for the template, beside `language`, `languages` and `asset`.
        """
        language = self.language(scope)
        place = scope["path"]
        if query := scope.get("query_string", b""):
            place = f"{place}?{query.decode('latin-1')}"
        text = (
            self._environments[language]
            .get_template(template)
            .render(
                language_url=lambda tag: f"/language/{tag}?{urlencode({'to': place})}", **values
            )
        )
        sent = {
            "Cache-Control": "no-store",
            "Content-Language": language,
            "Vary": "Accept-Language, Cookie",
            "Content-Security-Policy": content_security_policy(
                self._style_source, scripts=scripts, installable=installable, forms_to=forms_to
            ),
            **(headers or {}),
        }
        return Response(text, status, sent, "text/html")

    def asset_url(self, name: str) -> str:
        """Where *name* is loaded from; other files have other URLs.

        The version is of all files together and stands before the name, so that what a script
        module or a style names beside itself has the same one.
        """
        if name not in self._assets:
            raise NotFound(f"static: no file {name}")
        return f"/static/{self.version}/{name}"

    def asset(self, place: str, accept_encoding: Sequence[str] = ()) -> Response:
        """A file by its *place* below `/static/`, kept for ever if asked for by our version.

        A page of another version of the service (while it is being replaced) gets ours.
        """
        version, _, name = place.partition("/")
        name = name if name in self._assets else place
        found = self._assets.get(name)
        if found is None:
            raise NotFound("static: no such file")
        kept = f"public, max-age={_YEAR}, immutable" if version == self.version else "no-cache"
        headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
        if name in self._lent:  # C-52: the same for everybody, and no secret of anybody
            headers["Access-Control-Allow-Origin"] = "*"
        if found.packed is not None and accepts_gzip(accept_encoding):
            headers["Content-Encoding"] = "gzip"
            return Response(found.packed, 200, headers, found.media_type)
        return Response(found.content, 200, headers, found.media_type)

    def choose_language(self, tag: str, to: str) -> Response:
        """Remember the reader's language and go back to the page *to* of this service.

        Raises:
            NotFound: we do not have this language.
        """
        if tag not in self.languages.tags:
            raise NotFound("language: not one of ours")
        ours = to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()
        kept = f"{LANGUAGE_COOKIE}={tag}; Path=/; Max-Age={_YEAR}; Secure; HttpOnly; SameSite=Lax"
        return redirect(to if ours else "/", headers={"Set-Cookie": kept})


def redirect(url: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """303 to *url*: the browser goes there with GET, whatever was sent (RFC 9110, 15.4.4)."""
    place = quote(url, safe=":/?#[]@!$&'()*+,;=%")
    return Response(None, 303, {"Cache-Control": "no-store", "Location": place, **(headers or {})})


def cookie(scope: Scope, name: str) -> str | None:
    """The value of a cookie of ours, or None; what other programs of the host set is no matter."""
    for each in _header(scope, b"cookie").split(";"):
        key, found, value = each.strip().partition("=")
        if found and key == name:
            return value
    return None


def _header(scope: Scope, name: bytes) -> str:
    found = (value for key, value in scope["headers"] if key == name)
    return bytes(next(found, b"")).decode("latin-1")


_NO_MATTER = re.compile(r"/\*.*?\*/\s*|\s*([{};,>])\s*|(:)\s+|\n\s*|(?<![\d.])0(?=\.\d)", re.DOTALL)


def _style(assets: Mapping[str, Asset]) -> str:
    """What the style sheets say, the frame's first, as short as it can be said: pages carry it."""
    names = sorted((each for each in assets if each.endswith(".css")), key=_frame_first)
    text = "".join(assets[each].content.decode() for each in names)
    return _NO_MATTER.sub(r"\1\2", text).replace(";}", "}")


def _frame_first(name: str) -> tuple[bool, str]:
    return name != "frame.css", name


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    packed = gzip.compress(content, 6, mtime=0)
    smaller = len(packed) < len(content) * 3 // 4
    return Asset(content, packed if smaller else None, _TYPES[path.suffix])
