"""`python -m tests.e2e.leaking <service> serve`: the service as it is, but every request stays.

The positive control of `test_memory.py`: what is to find a leak has to find this one.
"""

import importlib
import sys
from typing import Any

KEPT_BYTES = 16 * 1024
_kept: list[bytearray] = []


def _leak() -> None:
    from shared.runtime.app import ServiceApp

    serve = ServiceApp.__call__

    async def serve_and_keep(self: ServiceApp, scope: Any, receive: Any, send: Any) -> None:
        _kept.append(bytearray(b"x") * KEPT_BYTES)
        await serve(self, scope, receive, send)

    ServiceApp.__call__ = serve_and_keep  # type: ignore[method-assign]


def main() -> None:
    module, *arguments = sys.argv[1:]
    _leak()
    sys.argv = [module, *arguments]
    importlib.import_module(f"{module}.__main__").cli()


if __name__ == "__main__":
    main()
