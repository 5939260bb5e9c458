"""The pages of the authorization endpoint: who are you, do you agree, and back to the wallet.

Plain HTML without scripts, ids that stay, errors tied to their fields; what may be decided is
decided elsewhere (logins.py, desk.py, openid.py, authorizations.py). OpenID4VCI 1.0, sections 5 and
15.1; PROFILE I-46, I-47, I-49; CERTIFICATION 3.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from shared.errors import ExpectedError, InvalidInput
from shared.runtime.errors import PAGE_MARKER, refusal
from shared.runtime.languages import choose, spoken
from shared.runtime.openid import NotSignedIn
from shared.runtime.pages import Pages, redirect
from shared.runtime.routes import Call, PageRouter, page_router

from .. import authorizations, consents, desk
from ..authorizations import AnotherPerson, AuthorizationRequest
from ..context import Issuer, Tenant
from ..logins import Login, LoginLost, flow_of

router: PageRouter[Issuer] = page_router()


class NoSuchLogin(InvalidInput):
    """The tenant's citizens do not sign in this way."""


def _here(call: Call, issuer: Issuer) -> tuple[Tenant, Login, AuthorizationRequest]:
    tenant = issuer.tenant(call.path["tenant"])
    login = Login.read(issuer, tenant, call.path["flow"], call.scope)
    return tenant, login, login.request(issuer, tenant)


def _language(call: Call) -> str:
    pages: Pages = call.scope["pages"]
    return pages.language(call.scope)


def _say(call: Call, text: str) -> str:
    pages: Pages = call.scope["pages"]
    return pages.text(call.scope, text)


def _place(tenant: Tenant, page: str, login: Login) -> str:
    return f"{tenant.identifier}/{page}/{login.flow}"


def _shown(call: Call, request: AuthorizationRequest, login: Login) -> dict[str, Any]:
    """What every page says."""
    names = request.tenant.file.names
    return {
        "agency": choose(names, _language(call)),
        "agency_language": spoken(names, _language(call)),
        "wallet": request.wallet_name or request.client_id,
        "csrf": login.csrf,
    }


@router.get("/{tenant}/authorize")
def authorize(call: Call, issuer: Issuer) -> Response:
    """The Authorization Endpoint: only pushed requests, everything else in the URL is ignored."""
    tenant = issuer.tenant(call.path["tenant"])
    request = authorizations.begin(
        issuer,
        tenant,
        client_id=call.query.get("client_id"),
        request_uri=call.query.get("request_uri"),
    )
    login = Login.start(issuer, request)
    place = _place(tenant, "login", login)
    if tenant.provider is not None and not tenant.file.login.desk:
        place = f"{place}/provider"  # the only way to sign in: nothing to choose
    return redirect(place, headers=login.cookie(issuer, tenant))


@router.get("/{tenant}/login/{flow}")
def login_page(call: Call, issuer: Issuer) -> Response:
    """Every way in which this agency's citizens sign in."""
    tenant, login, request = _here(call, issuer)
    return _login(call, tenant, login, request)


def _login(
    call: Call,
    tenant: Tenant,
    login: Login,
    request: AuthorizationRequest,
    *,
    refused: ExpectedError | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    language, openid = _language(call), tenant.file.login.openid
    problem = refusal(refused) if refused else None
    wrong_code = isinstance(refused, desk.WrongDeskCode)
    text = _say(call, refused.public) if refused else ""
    return call.page(
        "login.html",
        status=problem.status if problem else 200,
        forms_to=[request.redirect_uri],
        headers=headers,
        desk=tenant.file.login.desk,
        code_error=text if wrong_code else "",
        problem=text,
        problem_step=_say(call, problem.next_step) if problem else "",
        provider=choose(openid.names, language) if openid else "",
        provider_url=f"{_place(tenant, 'login', login)}/provider",
        credentials=consents.described(tenant, request.configurations, language),
        **_shown(call, request, login),
    )


@router.post("/{tenant}/login/{flow}")
def sign_in(call: Call, issuer: Issuer) -> Response:
    """A one-time code, or the wish to go back."""
    tenant, login, request = _here(call, issuer)
    form = call.form()
    login.check_form(form)
    if form.get("action") == "cancel":
        return _refuse(issuer, login, request)
    if not tenant.file.login.desk:
        raise NoSuchLogin("login: no desk codes here")
    try:
        subject = desk.redeem(issuer, tenant, form.get("code", ""))
    except desk.WrongDeskCode as error:
        return _login(call, tenant, login, request, refused=error)
    return _signed_in(issuer, tenant, login, subject)


def _signed_in(issuer: Issuer, tenant: Tenant, login: Login, subject: str) -> Response:
    known = login.signed_in(issuer, subject)
    return redirect(_place(tenant, "consent", known), headers=known.cookie(issuer, tenant))


@router.get("/{tenant}/login/{flow}/provider")
def to_provider(call: Call, issuer: Issuer) -> Response:
    """To the agency's OpenID Provider, which asks who it is."""
    tenant, login, _ = _here(call, issuer)
    if tenant.provider is None:
        raise NoSuchLogin("login: no OpenID Provider here")
    leaving = login.leaving(issuer)
    if leaving.visit is None:
        raise LoginLost("login: no visit")
    url = tenant.provider.authorization_url(
        leaving.visit, locale=_language(call), now=issuer.clock()
    )
    return redirect(url, headers=leaving.cookie(issuer, tenant))


@router.get("/{tenant}/login-return")
def from_provider(call: Call, issuer: Issuer) -> Response:
    """Back from the OpenID Provider, with an answer to this browser's visit."""
    tenant = issuer.tenant(call.path["tenant"])
    answer = call.query
    login = Login.read(issuer, tenant, flow_of(answer.get("state", "")), call.scope)
    request = login.request(issuer, tenant)
    openid = tenant.file.login.openid
    if tenant.provider is None or openid is None or login.visit is None:
        raise LoginLost("login: nobody was sent to a provider")
    now = issuer.clock()
    try:
        claims = tenant.provider.claims(login.visit, answer, now=now)
        subject = consents.person(tenant, openid.fields(claims))
    except (NotSignedIn, consents.NotInRegister) as error:
        return _login(call, tenant, login, request, refused=error)
    return _signed_in(issuer, tenant, login, subject)


@router.get("/{tenant}/consent/{flow}")
def consent_page(call: Call, issuer: Issuer) -> Response:
    """Which wallet receives what, and whether the person began this (section 15.1)."""
    tenant, login, request = _here(call, issuer)
    if login.subject is None:
        return redirect(_place(tenant, "login", login))
    language = _language(call)
    try:
        later = consents.not_ready(issuer, request, login.subject)
    except consents.STOPS as error:
        return _stopped(call, tenant, login, request, error)
    return call.page(
        "consent.html",
        forms_to=[request.redirect_uri],
        attested=request.attested,
        place=urlsplit(request.redirect_uri).hostname or urlsplit(request.redirect_uri).scheme,
        credentials=consents.described(tenant, request.configurations, language, later=later),
        **_shown(call, request, login),
    )


@router.post("/{tenant}/consent/{flow}")
def consent(call: Call, issuer: Issuer) -> Response:
    """The person's answer; the first one counts."""
    tenant, login, request = _here(call, issuer)
    form = call.form()
    login.check_form(form)
    action = form.get("action")
    if action == "cancel":
        return _refuse(issuer, login, request)
    if action != "accept" or login.subject is None:
        raise LoginLost("consent: neither accepted nor cancelled by somebody signed in")
    try:
        url = authorizations.grant(issuer, request, subject=login.subject)
    except AnotherPerson as error:
        return _stopped(call, tenant, login, request, error)
    return redirect(url, headers=login.forget())


def _refuse(issuer: Issuer, login: Login, request: AuthorizationRequest) -> Response:
    url = authorizations.refuse(issuer, request, error="access_denied")
    return redirect(url, headers=login.forget())


def _stopped(
    call: Call, tenant: Tenant, login: Login, request: AuthorizationRequest, error: ExpectedError
) -> Response:
    """An error page from which the person can still go back to the wallet, or sign in anew."""
    found = refusal(error)
    return call.page(
        "stopped.html",
        status=found.status,
        forms_to=[request.redirect_uri],
        detail=_say(call, error.public),
        next_step=_say(call, found.next_step),
        marker=PAGE_MARKER,
        login_url=_place(tenant, "login", login),
        cancel_url=_place(tenant, "consent", login),
        **_shown(call, request, login),
    )
