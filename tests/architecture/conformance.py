"""Writes docs/conformance.md: which module implements a requirement and which tests hold it.

`python -m tests.architecture.conformance` reads the ids (and the notes behind them) from the
document, finds the modules and tests that name them, and writes the tables anew. A test compares.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "conformance.md"
PACKAGES = ("shared", "issuer_service", "wallet_service", "verifier_service")
FAMILIES = r"(?:C|F-SD|F-VC|F-TM|F-MD|F-W3|F-CP|HB|ST|I|Q|W|V|T|S|E|N)"
ID = re.compile(rf"\b({FAMILIES})-(\d+)([a-z]?)\b(?:\s*(?:\.\.|to)\s*(?:{FAMILIES}-)?(\d+))?")
ROW = re.compile(r"^\| (\S+) \|(.*)\|(.*)\|(.*)\|$")


def ids_in(text: str) -> Iterator[str]:
    """Every id that *text* names; `HB-01..05` names five."""
    for family, first, letter, last in ID.findall(text):
        yield f"{family}-{first}{letter}"
        if last:
            width = len(first)
            for number in range(int(first) + 1, int(last) + 1):
                yield f"{family}-{number:0{width}d}"


def _modules() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for each in sorted(set(ids_in(path.read_text()))):
                found[each].append(str(path.relative_to(ROOT)))
    return found


def _tests() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path.parent.name == "architecture":
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for each in sorted(set(ids_in(ast.get_docstring(node) or ""))):
                    found[each].append(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def _cell(entries: list[str], most: int) -> str:
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return ", ".join(f"`{each}`" for each in entries[:most]) + more


def write(text: str) -> str:
    """The document with every row's module and test columns made anew."""
    modules, tests = _modules(), _tests()
    lines = []
    for line in text.splitlines():
        row = ROW.match(line)
        if row and ID.fullmatch(row[1]):
            each = row[1]
            note = row[4].strip()
            lines.append(
                f"| {each} | {_cell(modules[each], 2)} | {_cell(tests[each], 2)} | {note} |"
            )
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(write(DOCUMENT.read_text()))
