"""Fuzz every parser for a bounded time: `python -m tests.fuzz.run --seconds 60`.

With atheris each target runs in its own process, guided by coverage, one for each core; all are
forked from one that has instrumented the code. Without it, input is mutated at random from the
seeds. Ends with exit code 1 and the input, in hexadecimal, if a parser raises anything but an
`ExpectedError`, or takes more than a second of a core.
"""

import argparse
import importlib
import importlib.util
import os
import random  # noqa: TID251 - a fast generator with a seed, nothing secret
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .targets import Target

_SLOW = 1.0  # seconds of a core
_LONGEST = 4096
_TOKENS = (
    *(bytes([each]) for each in b'{}[]",:.~=%&\\\n\x00\xff\x80'),
    *(b"null", b"true", b"[]", b"{}", b'""', b"-1", b"1e999", b"NaN", b"0.1", b"9" * 25, b"a" * 70),
    *(b"\\ud800", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"%00", b"%ff", b"\x30\x80", b"\x30\x84\xff"),
    *(b'"alg"', b'"typ"', b'"_sd"', b'"..."', b'"exp"', b'"jwk"', b'"x5c"', b'"cnf"', b'"d"'),
)


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """*seed* with one to six changes: bytes, tokens, pieces cut, doubled or moved."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((1, 1, 2, 4, 16, 64)))
        kind = chance.randrange(6)
        if kind == 0 and end > start:
            data[start] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[start:end]
        elif kind == 2:
            data[start:start] = chance.choice(_TOKENS)
        elif kind == 3:
            data[start:end] = chance.choice(_TOKENS)
        elif kind == 4:
            data[start:start] = data[start:end] * chance.choice((1, 2, 40))
        else:
            target = chance.randint(0, len(data))
            data[target:target] = data[start:end]
    return bytes(data[:_LONGEST])


def inputs(seeds: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """The seeds, then mutations without end."""
    yield from seeds
    while True:
        yield mutated(chance.choice(seeds) if seeds else b"", chance)


def try_one(name: str, data: bytes) -> str | None:
    """Run target *name* on *data*; what is wrong, or None."""
    from shared.errors import ExpectedError  # after atheris has instrumented it

    from .targets import TARGETS

    target = next(each for each in TARGETS if each.name == name)
    begin = time.process_time()
    try:
        target.run(data)
    except ExpectedError:
        pass
    except Exception:  # noqa: BLE001 - this is what is looked for
        return traceback.format_exc()
    taken = time.process_time() - begin
    return f"took {taken:.1f} s" if taken > _SLOW else None


def by_chance(name: str, seeds: Sequence[bytes], seconds: float, seed: int) -> str | None:
    """Mutate at random until *seconds* are over, or something is found."""
    end = time.monotonic() + seconds
    for data in inputs(seeds, random.Random(f"{name}:{seed}")):  # noqa: S311 - nothing secret
        wrong = try_one(name, data)
        if wrong is not None:
            return f"{data.hex()}\n{wrong}"
        if time.monotonic() > end:
            break
    return None


def by_coverage(target: "Target", folder: Path, seconds: float, seed: int) -> None:
    """In this process, to its end: atheris looks for input that reaches new code."""
    atheris: Any = importlib.import_module("atheris")  # an extra
    end = time.monotonic() + seconds

    def run(data: bytes) -> None:
        wrong = try_one(target.name, data)
        if wrong is not None:
            sys.stderr.write(f"{data.hex()}\n{wrong}")
            raise AssertionError(target.name)
        if time.monotonic() > end:  # atheris knows whole seconds only
            os._exit(0)

    folder.mkdir()
    for number, each in enumerate(target.seeds):
        (folder / str(number)).write_bytes(each)
    options = [f"-max_len={_LONGEST}", f"-seed={seed}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(folder)], run)
    atheris.Fuzz()


def on_every_core(
    targets: "Sequence[Target]", folder: Path, seconds: float, seed: int
) -> Iterator[tuple[str, str | None]]:
    """Run `by_coverage` of each in a process of its own, since it never returns."""
    running: dict[int, tuple[str, Path]] = {}

    def ended() -> tuple[str, str | None]:
        pid, status = os.wait()
        name, log = running.pop(pid)
        said = log.read_text(errors="replace")[-4000:]
        return name, f"{said}\nended with {status}" if status else None

    for number, each in enumerate(targets):
        if len(running) == os.cpu_count():
            yield ended()
        log = folder / f"{number}.log"
        pid = os.fork()
        if pid == 0:
            with log.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            try:
                by_coverage(each, folder / str(number), seconds, seed)
            finally:
                sys.stderr.flush()
                os._exit(1)  # without the parent's tidying up
        running[pid] = each.name, log
    while running:
        yield ended()


def main(arguments: Sequence[str] | None = None) -> int:
    """Share the seconds among the targets; 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together")
    parser.add_argument("--only", help="the name of one target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by-chance", action="store_true", help="without atheris")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    guided = importlib.util.find_spec("atheris") is not None and not options.by_chance
    with (
        importlib.import_module("atheris").instrument_imports(include=["shared"])
        if guided
        else nullcontext()
    ):
        from .targets import TARGETS  # not before

    chosen = [each for each in TARGETS if options.only in (None, each.name)]
    share = options.seconds / len(chosen)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        found: Iterator[tuple[str, str | None]] = (
            on_every_core(chosen, Path(folder), share * (os.cpu_count() or 1), options.seed)
            if guided
            else (
                (each.name, by_chance(each.name, each.seeds, share, options.seed))
                for each in chosen
            )
        )
        for name, wrong in found:
            print(f"{name}: {wrong or 'ok'}", flush=True)  # noqa: T201 - what this is for
            failed = failed or wrong is not None
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
