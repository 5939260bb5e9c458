"""What `/api/v1/openapi.json` says beside the routes: refusals are problem documents (RFC 9457).

FastAPI describes its own validation error, which none of our services sends.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

_TEXTS = {
    "type": "urn:citizen-wallet:problem: and the code.",
    "title": "What went wrong, in a few words.",
    "detail": "What went wrong here; names no value that was sent.",
    "code": "Stable, for programs.",
    "next_step": "What helps.",
    "support_id": "For questions to the operator; says nothing of anybody.",
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "whose_fault", "next_step"],
    "properties": {
        **{name: {"type": "string", "description": text} for name, text in _TEXTS.items()},
        "status": {"type": "integer"},
        "whose_fault": {"type": "string", "enum": ["you", "issuer", "verifier", "us"]},
    },
}
_REFUSED = {
    "description": "Refused; what is described beside these members depends on the code.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_UNUSED = ("HTTPValidationError", "ValidationError")


def with_problems(api: FastAPI) -> Callable[[], dict[str, Any]]:
    """The `openapi` function of *api*, with our refusals in the place of FastAPI's."""
    plain = api.openapi

    def described() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = _PROBLEM
        for name in _UNUSED:
            schemas.pop(name, None)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                operation["responses"].setdefault("default", _REFUSED)
        return document

    return described
