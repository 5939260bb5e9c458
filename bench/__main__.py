"""`make bench`: every figure of docs/performance.md, beside its floor of the same run.

    python -m bench [--json PATH] [--flows N] [--rows N]

Times are CPU time; compare ratios, not machines. In-process figures have the bare signatures of
the same run as floor; HTTP figures have the project's target as floor. Beside each stands what it
may be on this machine (`targets.py`), and whether it is.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import curve, http_flows, in_process, mdoc, targets, wallet


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Print the figures.")
    parser.add_argument("--json", type=Path, help="write {name: {value, unit, floor, ratio}} here")
    parser.add_argument("--flows", type=int, default=1000, help="flows of each kind over HTTP")
    parser.add_argument(
        "--rows", type=int, default=0, help="cost curve up to so many rows; 0: none"
    )
    arguments = parser.parse_args()
    console = Console()
    figures: dict[str, in_process.Figure] = {}
    with console.status("In process: signing, presenting, verifying, status lists …"):
        figures |= in_process.measure() | mdoc.figures() | wallet.figures()
    with console.status(f"Over HTTP: {arguments.flows} flows of each kind, two databases …"):
        figures |= http_flows.measure(arguments.flows)
    show(figures, console)
    for kind in ("sqlite", "postgresql") if arguments.rows else ():
        with console.status(f"Cost by size, {kind} …") as status:
            line_up = curve.measure(kind, arguments.rows, status.update)
        curve.show(kind, line_up, console)
        for operation, line in line_up.items():
            figures[f"curve.{kind}.{operation}"] = curve.figure(line)
    if arguments.json:
        slower = targets.factor(figures)
        held = {
            name: {**each, "target": targets.target(name, each, slower)}
            for name, each in figures.items()
        }
        arguments.json.write_text(json.dumps(held, indent=2) + "\n")


def show(figures: Mapping[str, in_process.Figure], console: Console) -> None:
    """Each beside its floor, its target on this machine, and whether it is met."""
    slower = targets.factor(figures)
    table = Table("figure", "value", "unit", "floor or target", "ratio", "target here", "met")
    for name, each in figures.items():
        limit = targets.target(name, each, slower)
        table.add_row(
            name,
            f"{each['value']:.2f}",
            str(each["unit"]),
            f"{each['floor']:.2f}",
            f"{each['ratio']:.2f}",
            "" if limit is None else f"{limit:.2f}",
            "" if limit is None else "yes" if targets.met(name, each, limit) else "no",
        )
    console.print(table)
    floors = ", ".join(
        f"{name} {figures[name]['floor']:.1f} µs against {reference:.0f}"
        for name, reference in targets.REFERENCE.items()
    )
    console.print(
        f"This machine is {slower:.2f} times slower than that of PERFORMANCE section 1, by the "
        f"floors of this run ({floors}); targets in ms over HTTP are multiplied by that."
    )


if __name__ == "__main__":
    main()
