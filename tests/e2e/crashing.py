"""`python -m tests.e2e.crashing <service> serve`: the service as it is, killed where a test says.

The product has no hooks. This wraps what every step of every act goes through: what the database
commits (`commit`), what is asked of others (`fetch`, `post`), and answers (`answer`); each has a
moment before and one after it. A test arms one point by writing a file; the process that comes by
removes the file and sends itself SIGKILL. An armed file that names no point makes a list of all
that come by, so that no test has to know how many there are.

Their clocks go with the real one, and ahead of it by what a test says (`Ahead`).

The services run as children of a process that has imported them already, so that one that was
killed stands again in a fraction of a second; with its file gone it is an ordinary service.
"""

import hashlib
import importlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

VARIABLE = "CRASH_FILE"
AHEAD = "ahead"
_ID = re.compile(r"(?<=/)(?=[^/]*[A-Z0-9])[\w-]{12,}")  # random ids, codes and references


@dataclass(frozen=True)
class Point:
    """Before or after the *ordinal*th `commit`, `fetch`, `post` or `answer` at *where*.

    *where* is method and path of a request, with a star for each id, or
    `job <name> <lease|work|end>`.
    """

    kind: str
    ordinal: int
    moment: str
    where: str

    def __str__(self) -> str:
        return f"{self.moment} {self.kind} {self.ordinal} of {self.where}"


class Armed:
    """The test's side of one service's file.

    *where* is a part of the place in which to look; what happens elsewhere does not count.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.passed = file.with_suffix(".passed")
        self.posts = file.with_suffix(".posts")
        self.running = file.with_suffix(".pid")

    def arm(self, where: str, point: Point | None = None) -> None:
        """Let it die at *point*, or list what comes by."""
        self.passed.unlink(missing_ok=True)
        order = {"where": where, "point": point and asdict(point), "number": time.monotonic_ns()}
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(order))
        draft.rename(self.file)

    def disarm(self) -> None:
        self.file.unlink(missing_ok=True)

    def points(self) -> list[Point]:
        """What came by since it was armed, in order."""
        if not self.passed.exists():
            return []
        return [Point(**json.loads(line)) for line in self.passed.read_text().splitlines()]

    def pid(self) -> int:
        """Of the process that serves, or 0 if there is none just now."""
        with suppress(OSError, ValueError):
            return int(self.running.read_text())
        return 0

    @property
    def struck(self) -> bool:
        """Whether it died where it should."""
        return not self.file.exists()


class Ahead:
    """By how much the clocks of the services are ahead of the real one, as if time had passed.

    The file lies beside those of `Armed`, and all services read it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def seconds(self) -> float:
        try:
            return float(self.file.read_text())
        except OSError:
            return 0.0

    def pass_time(self, seconds: float) -> None:
        """For all services at once."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(str(self.seconds + seconds))
        draft.rename(self.file)


class _Watch:
    """The service's side."""

    def __init__(self, file: Path) -> None:
        self._armed = Armed(file)
        self._lock = threading.Lock()
        self._number = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._scopes: list[Mapping[str, Any]] = []
        self.here = threading.local()

    @contextmanager
    def step(self, kind: str, where: str | None = None) -> Iterator[None]:
        """One step; what raises never came to its end."""
        place = self._where() if where is None else where
        ordinal = self._passes(kind, "before", place, None)
        yield
        self._passes(kind, "after", place, ordinal)

    def _where(self) -> str:
        job = getattr(self.here, "job", None)
        if job is not None:
            return f"job {job}"
        from shared.runtime.logs import request_id  # after its module was imported in the parent

        current = request_id.get()
        for scope in list(self._scopes):
            if current and scope.get("request_id") == current:
                return _place(scope)
        return threading.current_thread().name

    @contextmanager
    def serving(self, scope: Mapping[str, Any]) -> Iterator[None]:
        self._scopes.append(scope)
        try:
            yield
        finally:
            self._scopes.remove(scope)

    def _passes(self, kind: str, moment: str, where: str, ordinal: int | None) -> int:
        """The ordinal of this step; 0 if nobody looks."""
        try:
            order = json.loads(self._armed.file.read_text())
        except OSError:
            return 0
        if order["where"] not in where or ordinal == 0:
            return 0
        with self._lock:
            if order["number"] != self._number:
                self._number, self._counts = order["number"], Counter()
                if moment == "after":  # it began before this was armed
                    return 0
            if ordinal is None:
                self._counts[kind, where] += 1
                ordinal = self._counts[kind, where]
            point = Point(kind, ordinal, moment, where)
            with self._armed.passed.open("a") as passed:
                passed.write(json.dumps(asdict(point)) + "\n")
            wanted = order["point"]
            if wanted == asdict(point):
                self._armed.file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return ordinal

    def posted(self, url: str, body: bytes) -> None:
        """Remember what left this process, for "the same bytes"."""
        with self._armed.posts.open("a") as posts:
            posts.write(f"{url} {hashlib.sha256(body).hexdigest()}\n")


def _place(scope: Mapping[str, Any]) -> str:
    return f"{scope['method']} {_ID.sub('*', scope['path'])}"


def wrap(watch: _Watch) -> None:
    """Put *watch* around the database, the guarded client, the jobs and the app."""
    from shared.runtime.app import ServiceApp
    from shared.runtime.database import Database
    from shared.runtime.fetch import Fetcher
    from shared.runtime.jobs import Jobs

    for name in ("transaction", "single"):
        setattr(Database, name, _writing(watch, getattr(Database, name)))
    run = Database.run

    def run_(self: Database, sql: str, parameters: Any, *, read: Any, writing: bool) -> Any:
        if not writing:
            return run(self, sql, parameters, read=read, writing=False)
        with watch.step("commit"):
            return run(self, sql, parameters, read=read, writing=True)

    get, post, serve = Fetcher.get, Fetcher.post_bytes, ServiceApp.__call__

    def get_(self: Fetcher, url: str, **options: Any) -> Any:
        with watch.step("fetch"):
            return get(self, url, **options)

    def post_(self: Fetcher, url: str, body: bytes, **options: Any) -> Any:
        with watch.step("post"):
            watch.posted(url, body)
            return post(self, url, body, **options)

    every, run_job = Jobs.every, Jobs._run

    def every_(self: Jobs, name: str, seconds: float, work: Any, **options: Any) -> None:
        def work_(now: Any) -> None:
            watch.here.job = f"{name} work"
            try:
                work(now)
            finally:
                watch.here.job = f"{name} end"

        every(self, name, seconds, work_, **options)

    def run_job_(self: Jobs, job: Any) -> bool:
        watch.here.job = f"{job.name} lease"
        try:
            return run_job(self, job)
        finally:
            watch.here.job = None

    async def serve_(self: ServiceApp, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith(("/health", "/metrics")):
            await serve(self, scope, receive, send)
            return
        with watch.serving(scope):
            await serve(self, scope, receive, _answering(watch, scope, send))

    for kind, name, made in (
        (Database, "run", run_),
        (Fetcher, "get", get_),
        (Fetcher, "post_bytes", post_),
        (Jobs, "every", every_),
        (Jobs, "_run", run_job_),
        (ServiceApp, "__call__", serve_),
    ):
        setattr(kind, name, made)


def _writing(watch: _Watch, plain: Callable[..., Any]) -> Callable[..., Any]:
    """A transaction: "before" is when all its statements are done and only COMMIT is missing.

    For a lone statement it is before the statement.
    """
    late = plain.__name__ == "transaction"

    @contextmanager
    def wrapped(self: Any) -> Iterator[Any]:
        ended: list[Any] = []
        with plain(self) as connection:
            if not late:
                ended.append(watch.step("commit"))
                ended[0].__enter__()
            yield connection
            if late:
                ended.append(watch.step("commit"))
                ended[0].__enter__()
        ended[0].__exit__(None, None, None)

    return wrapped


def _answering(
    watch: _Watch, scope: Mapping[str, Any], send: Callable[[Any], Awaitable[None]]
) -> Callable[[Any], Awaitable[None]]:
    steps: list[Any] = []

    async def send_(message: Mapping[str, Any]) -> None:
        if not steps:
            steps.append(watch.step("answer", _place(scope)))
            steps[0].__enter__()
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            steps[0].__exit__(None, None, None)

    return send_


def _keep_time(ahead: Ahead) -> None:
    """Before anything of a service is imported: each names the clock once, and takes it along."""
    from shared.runtime import clock

    plain = clock.utc_now
    clock.utc_now = lambda: plain() + timedelta(seconds=ahead.seconds)


def _serve(module: str, arguments: list[str]) -> None:
    wrap(_Watch(Path(os.environ[VARIABLE])))
    sys.argv = [module, *arguments]
    importlib.import_module(f"{module}.__main__").cli()


def main() -> None:
    """Keep one child alive until told to stop; one that ends by itself ends this too."""
    module, *arguments = sys.argv[1:]
    _keep_time(Ahead(Path(os.environ[VARIABLE]).with_name(AHEAD)))
    importlib.import_module(f"{module}.app")
    importlib.import_module(f"{module}.__main__")
    importlib.import_module("uvicorn.main")
    assert threading.active_count() == 1
    running = Armed(Path(os.environ[VARIABLE])).running
    child = 0
    stopping = False

    def stop(number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        if child:
            os.kill(child, number)

    signal.signal(signal.SIGTERM, stop)
    while not stopping:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _serve(module, arguments)
            os._exit(0)
        running.write_text(str(child))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            break


if __name__ == "__main__":
    main()
