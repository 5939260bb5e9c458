"""Demos, tests and benches that start at the same moment do not choose the same ports."""

import socket
import subprocess
import sys

from shared.demo.processes import free_port

_ASK = "import sys; from shared.demo.processes import free_port; print(free_port(int(sys.argv[1])))"


def _unused() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_was_chosen_is_given_to_nobody_else() -> None:
    """Though nothing listens there yet; another process is told another one, too."""
    wanted = _unused()
    assert free_port(wanted) == wanted
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, str(wanted)], capture_output=True, text=True, check=True
    )
    found = {wanted, free_port(wanted), int(asked.stdout)}
    assert len(found) == 3


def test_a_port_on_which_somebody_listens_is_not_chosen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) != taken
