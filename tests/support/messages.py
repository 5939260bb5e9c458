"""Every text that a package says to people: from its templates, and what its modules `mark`."""

from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import extract_from_dir

_METHODS = [("**.py", "python"), ("**.html", "jinja2.ext.babel_extract")]
_OPTIONS = {"**.html": {"silent": "false", "newstyle_gettext": "true"}}


def messages(package: Path) -> Iterator[str]:
    """The ids of all messages in *package*."""
    found = extract_from_dir(
        str(package),
        method_map=_METHODS,
        options_map=_OPTIONS,
        keywords={"mark": None, "_": None, "gettext": None, "ngettext": (1, 2)},
    )
    for _file, _line, message, _comments, _context in found:
        yield from [message] if isinstance(message, str) else message
