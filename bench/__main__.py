"""`make bench`: every figure of docs/performance.md, beside its floor of the same run.

    python -m bench [--json PATH] [--flows N]

Times are CPU time; compare ratios, not machines. In-process figures have the bare signatures of
the same run as floor; HTTP figures have the project's target as floor.
"""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import http_flows, in_process, mdoc, wallet


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Print the figures.")
    parser.add_argument("--json", type=Path, help="write {name: {value, unit, floor, ratio}} here")
    parser.add_argument("--flows", type=int, default=1000, help="flows of each kind over HTTP")
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
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
