"""Measures the package beside its peers, in pairs, each in a process of its own.

The machine's speed drifts, above all where it is shared. So the package and one peer take turns, a
ratio is taken within a turn, and what is reported is the median. No third process is there
meanwhile: with many, the memory was short, and those that ask the system for much of it, PyTorch
among them, became slower.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import argument_parser, machine, markdown_table


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way of doing the work.

    Attributes:
        name: its row in the table.
        prepare: a function of a module, which imports what it needs and returns a function that
            does the work once.
        arguments: of `prepare`.
        work: how much one call does, in the table's unit: images, or floating-point operations.
        environment: variables set before the process starts.
    """

    name: str
    prepare: Callable[..., Callable[[], Any]]
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    work: float = 1.0
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Result:
    """What was measured of a contender.

    Attributes:
        rates: units of work a second, one number a turn.
        ratios: the first contender's rate over this one's, one number a turn.
        peak_bytes: largest resident size of its process.
    """

    rates: list[float] = dataclasses.field(default_factory=list)
    ratios: list[float] = dataclasses.field(default_factory=list)
    peak_bytes: int | None = None


def measure(
    first: Contender,
    *peers: Contender,
    repetitions: int = 3,
    seconds: float = 2.0,
    threads: int | None = None,
    isolated: bool = True,
) -> dict[str, Result]:
    """Measures the first contender in turns with each of the others, one of them after another.

    Args:
        first, peers: warmed up before they are measured.
        repetitions: turns with each peer; who begins changes.
        seconds: that a measurement takes at least; the work is repeated as often as it needs.
        threads: processor cores that each may use; `None` for all.
        isolated: whether each has a process of its own. Without, those that need an environment
            are left out.

    Returns:
        The results by name, the first one's with all its rates. A peer whose library is missing is
        named on stderr and left out.
    """
    start = _process if isolated else _in_here
    results = {first.name: Result()}
    if not isolated and first.environment:
        return {}
    with start(first, seconds, threads) as ours:
        ours("warm up")
        for peer in peers or [None]:
            if peer is None:
                for _ in range(repetitions):
                    results[first.name].rates.append(first.work / ours("measure"))
                continue
            if not isolated and peer.environment:
                continue
            with start(peer, seconds, threads) as theirs:
                try:
                    theirs("warm up")
                except ImportError as error:
                    print(f"{peer.name}: not measured ({error})", file=sys.stderr)
                    continue
                result = results[peer.name] = Result()
                for repetition in range(repetitions):
                    turns = [(first, ours), (peer, theirs)]
                    for contender, run in turns if repetition % 2 == 0 else reversed(turns):
                        results[contender.name].rates.append(contender.work / run("measure"))
                    result.ratios.append(results[first.name].rates[-1] / result.rates[-1])
                result.peak_bytes = theirs("peak")
        results[first.name].peak_bytes = ours("peak")
    return results


def measure_together(
    contenders: Sequence[Contender],
    *,
    repetitions: int = 3,
    seconds: float = 1.0,
    limit: float = 600.0,
) -> dict[str, list[float]]:
    """Measures all contenders in rounds, each of them once a round.

    For a GPU, where starting and compiling take far longer than measuring: those of the same
    environment share a process, and all have warmed up before the first round.

    Args:
        contenders: the most important first.
        repetitions: rounds.
        seconds: that a measurement takes at least.
        limit: seconds for all, of which a contender may warm up for a third. When a fifth is
            left, no other is warmed up; at the end none is measured again.

    Returns:
        Units of work a second by name, one number a round. A contender that fails or takes too long
        is named on stderr and left out; so are those whose process ends.
    """
    end = time.monotonic() + limit
    rates: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        servers: dict[str, Callable[..., float]] = {}

        def ask(contender, command, until):
            home = json.dumps(contender.environment, sort_keys=True)
            if home not in servers:
                server = _server(contender.environment, seconds, None)
                servers[home] = stack.enter_context(server)
            patience = max(until - time.monotonic(), 0)
            try:
                return servers[home](contender, command, patience)
            except (RuntimeError, ImportError) as error:
                if isinstance(error, _EndedError):
                    servers.pop(home)  # the next one gets a new process
                lines = str(error).strip().splitlines()
                print(f"{contender.name}: not measured ({lines[-1][:300]})", file=sys.stderr)
                return None

        for contender in contenders:
            if end - time.monotonic() < limit / 5:
                print(f"{contender.name}: not measured (no time was left)", file=sys.stderr)
            elif ask(contender, "warm up", time.monotonic() + limit / 3) is not None:
                rates[contender.name] = []
        for _ in range(repetitions):
            for contender in contenders:
                if contender.name in rates and time.monotonic() < end:
                    took = ask(contender, "measure", end)
                    if took is None:
                        del rates[contender.name]
                    else:
                        rates[contender.name].append(contender.work / took)
    return {name: values for name, values in rates.items() if values}


class _EndedError(RuntimeError):
    """A contender's process is no more."""


class _Clock:
    """Warms a contender up, finds how often it fits into the time, and measures it."""

    def __init__(self, contender: Contender, seconds: float):
        self.contender, self.seconds, self.calls, self.run = contender, seconds, 1, None

    def __call__(self, command: str) -> float | int:
        if command == "measure" and self.run is None:  # in a process that took another's place
            self("warm up")
        if command == "warm up":
            self.run = self.contender.prepare(**self.contender.arguments)
            self.run()
            self.run()
            self.calls = max(1, round(self.seconds / self("measure")))
            return self.calls
        if command == "peak":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak if sys.platform == "darwin" else 1024 * peak
        started = time.perf_counter()
        for _ in range(self.calls):
            self.run()
        return (time.perf_counter() - started) / self.calls


@contextlib.contextmanager
def _in_here(contender, seconds, threads):
    yield _Clock(contender, seconds)


@contextlib.contextmanager
def _process(contender, seconds, threads) -> Iterator[Callable[[str], float]]:
    with _server(contender.environment, seconds, threads) as ask:
        yield functools.partial(ask, contender)


@contextlib.contextmanager
def _server(environment, seconds, threads) -> Iterator[Callable[..., float]]:
    """A process of its own in which contenders warm up and are measured, as they are asked to."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, seconds, threads))
    limits = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS") if threads else ()
    environment = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **{name: str(threads) for name in limits},
        **environment,
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})

    there.close()  # so that the end of the process is noticed

    def ask(contender, command, patience=None):
        try:
            here.send((contender, command))
            if not here.poll(patience):
                process.kill()
                raise _EndedError(f"{contender.name} took longer than {patience:.0f} s")
            answer = here.recv()
        except (EOFError, OSError):
            process.join()
            raise _EndedError(f"{contender.name} ended with exit code {process.exitcode}") from None
        if isinstance(answer, RuntimeError):
            raise RuntimeError(f"{contender.name}:\n{answer}")
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        yield ask
    finally:
        process.terminate()
        process.join()


def _serve(connection, seconds, threads):
    if threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    clocks: dict[str, _Clock] = {}
    while True:
        try:
            contender, command = connection.recv()
            clock = clocks.setdefault(contender.name, _Clock(contender, seconds))
            connection.send(clock(command))
        except ImportError as error:
            connection.send(ImportError(str(error)))
        except EOFError:
            return
        except Exception:
            connection.send(RuntimeError(traceback.format_exc()))


def table(results: dict[str, Result], unit: str, scale: float = 1.0) -> str:
    """A Markdown table: median rate, its range, peak memory, and the first one's rate over it."""
    first = next(iter(results), "")
    rows = []
    for name, result in results.items():
        rates = [rate / scale for rate in result.rates]
        spread = f"{_digits(min(rates))} to {_digits(max(rates))}"
        peak = "" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:,.0f}"
        over = f"{statistics.median(result.ratios):.2f}" if result.ratios else ""
        rows.append([name, _digits(statistics.median(rates)), spread, peak, over])
    return markdown_table(["", unit, "lowest to highest", "peak MB", f"{first} over it"], rows)


def _digits(number: float) -> str:
    return f"{number:.3g}" if number < 100 else f"{number:,.0f}"


def saved_tables(path: Path) -> dict[str, str]:
    """The tables of a result file, by title."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    return {
        title: table({k: Result(**v) for k, v in section["results"].items()}, section["unit"])
        for title, section in saved["sections"].items()
    }


def about_run(saved: dict[str, Any]) -> str:
    """Where and how a saved result was measured, in two lines."""
    about = saved["machine"]
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    settings = ", ".join(f"{key} {value}" for key, value in saved["settings"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['system']}; "
        f"Python {about['python']}, {versions}.\nSettings: {settings}."
    )


def speed_parser(description: str) -> argparse.ArgumentParser:
    """What the scripts that measure speed take."""
    parser = argument_parser(description, repetitions=3)
    parser.add_argument("--threads", type=int, help="cores for each contender (default: all)")
    return parser


def measuring_options(args: argparse.Namespace, seconds: float = 2.0) -> dict[str, Any]:
    """How `measure` is to be called, by the arguments of `speed_parser`.

    Args:
        args: of the command line.
        seconds: that a measurement takes at least, unless `--miniature`.
    """
    return {
        "repetitions": args.repetitions,
        "seconds": 0 if args.miniature else seconds,
        "threads": args.threads,
        "isolated": not args.miniature,
    }


def report(
    name: str, settings: dict[str, Any], sections: dict[str, dict[str, Any]], out: Path
) -> None:
    """Prints the machine and each section's table, and writes ``name.json``.

    Args:
        name: of the script and the file.
        settings: batch size, threads and the like.
        sections: by title; `results` (name to `Result`), `unit`, and `scale`.
        out: folder.
    """
    saved = {"benchmark": name, "machine": machine(), "settings": settings, "sections": {}}
    print(f"\n{about_run(saved)}")
    for title, section in sections.items():
        print(f"\n{title}\n\n{table(**section)}")
        saved["sections"][title] = {
            "unit": section["unit"],
            "results": {
                name: {
                    "rates": [rate / section.get("scale", 1.0) for rate in result.rates],
                    "ratios": result.ratios,
                    "peak_bytes": result.peak_bytes,
                }
                for name, result in section["results"].items()
            },
        }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.json"
    path.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
    print(f"\n{path}")
