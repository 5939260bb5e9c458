"""What Alembic runs for every service; `runtime/migrations.py` gives connection and tables."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

_attributes = context.config.attributes


def _render(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    if kind == "type" and type(item).__name__ == "UtcDateTime":
        autogenerate.imports.add("from shared.runtime.database import UtcDateTime")
        return "UtcDateTime()"
    if kind == "type" and type(item).__name__ == "AutoString":  # SQLModel's str
        return f"sa.String(length={item.length})"
    return False


context.configure(
    connection=_attributes["connection"],
    target_metadata=_attributes["metadata"],
    render_as_batch=True,
    render_item=_render,
    compare_type=True,
    transactional_ddl=False,  # the caller holds the one transaction around everything
)
context.run_migrations()
