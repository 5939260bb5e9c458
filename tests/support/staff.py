"""Staff for tests: invited as on the command line, with a software passkey or a real browser's.

clerk = staff_member(client, issuer.staff, "registry", roles=("offers", "read"))
clerk.get("/staff/registry")                     # brings the cookie
clerk.post("/staff/registry/people", {"reference": "AV-000001"})   # and the token of its forms
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.demo.passkey import SoftwarePasskey
from shared.runtime.sign_in import COOKIE
from shared.runtime.staff_pages import StaffEntrance

from .asgi import Answer, AsgiClient

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


def invite(entrance: StaffEntrance, tenant: str, name: str, roles: Sequence[str]) -> str:
    """The path of an invitation's link."""
    return f"/staff/{tenant}/join#{entrance.accounts.invite(tenant, name, roles)}"


def options_of(page: Answer, name: str) -> dict[str, Any]:
    """What a page asks the browser's passkeys for: *name* is "get" or "create"."""
    found = re.search(f'data-{name}="([^"]*)"', page.text)
    assert found, page.text
    options: dict[str, Any] = json.loads(html.unescape(found[1]))
    return options


def cookie_of(answer: Answer, tenant: str) -> str:
    """The session's cookie that an answer sets, as a browser sends it."""
    set_ = [value for name, value in answer.raw_headers if name.lower() == "set-cookie"]
    return next(each.partition(";")[0] for each in set_ if each.startswith(f"{COOKIE}{tenant}="))


@dataclass
class StaffMember:
    """Somebody at work: a passkey, and a browser with a session."""

    client: AsgiClient
    tenant: str
    passkey: SoftwarePasskey
    account: str
    cookie: str = ""
    csrf: str = ""

    def get(self, path: str, **headers: str) -> Answer:
        return self.client.get(path, headers={"Cookie": self.cookie, **headers})

    def post(self, path: str, form: Mapping[str, str] = {}, **headers: str) -> Answer:
        sent = {"Cookie": self.cookie, **SAME_ORIGIN, **headers}
        return self.client.post(path, form={"csrf": self.csrf, **form}, headers=sent)

    def assertion(self) -> str:
        """An answer to the challenge of the sign-in page."""
        page = self.client.get(f"/staff/{self.tenant}/sign-in")
        return json.dumps(self.passkey.get(options_of(page, "get")).response)

    def sign_in(self) -> Answer:
        answer = self.client.post(
            f"/staff/{self.tenant}/sign-in",
            form={"passkey": self.assertion(), "to": ""},
            headers=SAME_ORIGIN,
        )
        if answer.status == 303:
            self.use(cookie_of(answer, self.tenant))
        return answer

    def use(self, cookie: str) -> None:
        """Go on with this session."""
        self.cookie = cookie
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(self.sessions).text)
        self.csrf = found[1] if found else ""

    @property
    def sessions(self) -> str:
        return f"/staff/{self.tenant}/sessions"


def join(
    client: AsgiClient, tenant: str, code: str, passkey: SoftwarePasskey
) -> tuple[Answer, Answer]:
    """Use an invitation as the page does: the page with the options, then the answer."""
    path = f"/staff/{tenant}/join"
    asked = client.post(path, form={"code": code}, headers=SAME_ORIGIN)
    if asked.status != 200:
        return asked, asked
    made = json.dumps(passkey.create(options_of(asked, "create")))
    form = {"code": code, "passkey": made}
    return asked, client.post(path, form=form, headers=SAME_ORIGIN)


def staff_member(
    client: AsgiClient,
    entrance: StaffEntrance,
    tenant: str,
    *,
    roles: Sequence[str],
    name: str = "Maria Jensen",
) -> StaffMember:
    """Somebody new, enrolled and signed in."""
    code = entrance.accounts.invite(tenant, name, roles)
    passkey = SoftwarePasskey(client.base_url)
    _, answer = join(client, tenant, code, passkey)
    assert answer.status == 303, answer.text
    member = StaffMember(client, tenant, passkey, f"stf_{code[:22]}")
    member.use(cookie_of(answer, tenant))
    return member
