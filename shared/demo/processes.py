"""Starts and ends the processes of a whole system: three services, the files of the trust list.

Services are known by module name only. Used by the demo, the end-to-end tests and the bench, so
that all three run what an operator runs: `python -m <service> migrate`, then `serve`, configured by
environment variables alone.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

START_SECONDS = 120  # a busy machine starts slowly; whoever ends is noticed at once
STOP_SECONDS = 10


_ATTEMPTS = 20
_taken: list[socket.socket] = []  # held as long as this process lives


def free_port(preferred: int) -> int:
    """*preferred* if nobody has it on the loopback address, else one the system picks.

    It is this process's from now on: its UDP port says so to others who ask here, since nothing
    listens yet.
    """
    for port in (preferred, *[0] * _ATTEMPTS):
        mark = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                found = int(probe.getsockname()[1])
                mark.bind(("127.0.0.1", found))
            except OSError:
                mark.close()
                continue
        _taken.append(mark)
        return found
    message = "no free port on 127.0.0.1"
    raise RuntimeError(message)


@dataclass
class Processes:
    """Child processes that end together; a context manager. Their output goes to *logs*."""

    logs: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, arguments: list[str], environment: Mapping[str, str]) -> str:
        """Run `python arguments` to its end and return what it printed; raise if it fails."""
        done = subprocess.run(  # noqa: S603  # our own modules, no shell
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            message = f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
            raise RuntimeError(message)
        return done.stdout

    def start(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        program: str = sys.executable,
    ) -> None:
        """Start *program*, Python if none is said, under *name*; output goes to its log."""
        with (self.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603  # our own modules, no shell
                [program, *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the parent, which then ends them in order
            )

    def pid(self, name: str) -> int:
        """The process id of *name*."""
        return self._running[name].pid

    def wait_until_ready(self, name: str, url: str) -> None:
        """Return once *url* answers 200; raise with the log if the process ends before."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._running[name].poll() is not None:
                break
            try:
                with urlopen(url, timeout=2) as answer:  # noqa: S310  # our own loopback address
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                time.sleep(0.1)
        log = (self.logs / f"{name}.log").read_text(errors="replace")[-4000:]
        message = f"{name} did not become ready at {url}; the end of its log:\n{log}"
        raise RuntimeError(message)

    def ended(self) -> str | None:
        """The name of a process that has ended, if any."""
        return next((name for name, each in self._running.items() if each.poll() is not None), None)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End *name* and wait for it; SIGKILL if it takes longer than STOP_SECONDS."""
        process = self._running.pop(name)
        if process.poll() is None:
            if how == signal.SIGKILL:  # nobody is left to tell the workers
                os.killpg(process.pid, how)
            else:
                process.send_signal(how)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)
