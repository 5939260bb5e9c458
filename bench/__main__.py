"""`make bench`: every figure of docs/performance.md, beside its floor of the same run.

    python -m bench [--json PATH] [--flows N] [--rows N]

Times are CPU time; compare ratios, not machines. In-process figures have the bare signatures of
the same run as floor; HTTP figures have the project's target as floor.
"""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import curve, http_flows, in_process, mdoc, wallet


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
    table = Table("figure", "value", "unit", "floor or target", "ratio")
    for name, each in figures.items():
        table.add_row(
            name,
            f"{each['value']:.2f}",
            str(each["unit"]),
            f"{each['floor']:.2f}",
            f"{each['ratio']:.2f}",
        )
    console.print(table)
    for kind in ("sqlite", "postgresql") if arguments.rows else ():
        with console.status(f"Cost by size, {kind} …") as status:
            line_up = curve.measure(kind, arguments.rows, status.update)
        curve.show(kind, line_up, console)
        for operation, line in line_up.items():
            figures[f"curve.{kind}.{operation}"] = curve.figure(line)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
