"""How things are timed: alternating rounds, medians, an interval of the ratio by the bootstrap."""

from __future__ import annotations

import json
import operator
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SIGNS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table. `ratio` is ours to theirs as `unit` says; `bar` is what it is held against."""

    name: str
    ratio: float
    low: float
    high: float
    bar: str
    ours: float
    theirs: float
    unit: str
    machine: str

    @property
    def holds(self) -> bool | None:
        """Whether the ratio, or the end of its interval that the bar names, meets the bar; None for one told only.

        Bars are such as ``>= 1``, ``low > 0.5``, ``= 1``, ``0.9 to 1.1`` and ``reported``.
        """
        if self.bar == "reported":
            return None
        if between := re.fullmatch(r"(\S+) to (\S+)", self.bar):
            return float(between[1]) <= self.ratio <= float(between[2])
        end, sign, bound = re.fullmatch(r"(?:(low|high) )?(<=|>=|=|<|>) (\S+)", self.bar).groups()
        return SIGNS[sign](getattr(self, end or "ratio"), float(bound))

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A benchmark, or a row of one, that could not be run, and what is missing."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: skipped, {self.why}"


class SideFailed(Exception):
    """A process that a benchmark measures ended before its work was done; says how, and the end of its log."""

    def __init__(self, status: int, log: str) -> None:
        super().__init__(f"exit status {status}\n{log[-3000:].rstrip()}".rstrip())


@dataclass(frozen=True, slots=True)
class Failed:
    """A benchmark, or a row of one, of which a side failed, and how."""

    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.name}: FAILED, {self.how}"


def failing(name: str, error: SideFailed | subprocess.CalledProcessError) -> Failed:
    """The row of what a side's end left unmeasured."""
    if isinstance(error, subprocess.CalledProcessError):
        error = SideFailed(error.returncode, error.stderr or "")
    return Failed(name, str(error))


def commit() -> str:
    """The short hash of what is checked out, with "+" where files differ from it; empty outside git."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> str:
    """Processor, cores, Python; a GPU first, if there is one."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    gpu = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, " if torch.cuda.is_available() else ""
    return f"{gpu}{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def asked_for(rows: Sequence[str]) -> list[str]:
    """The rows that `CAI_BENCH_ROWS` names, by default all; ends the program for a name that is none of them."""
    wanted = os.environ.get("CAI_BENCH_ROWS", ",".join(rows)).split(",")
    if strange := [one for one in wanted if one not in rows]:
        sys.exit(f"CAI_BENCH_ROWS: no row is named '{strange[0]}' (there: {', '.join(rows)})")
    return wanted


def alternate(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> tuple[list[float], list[float]]:
    """`rounds` measurements of each side, turn about; the first pair only warms up."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return [one for one, _ in pairs], [other for _, other in pairs]


class Worker:
    """One side in a process of its own, which works when it is asked and is idle otherwise.

    Its standard error goes to `log`, or to a file of that name in the folder that `CAI_BENCH_LOGS` names.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = Path(os.environ.get("CAI_BENCH_LOGS", log.parent)) / log.name
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def __call__(self, **asked: Any) -> float:
        """What it answers; raises `SideFailed` where it ends without an answer."""
        answer = ""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        if not answer:
            raise SideFailed(self.stop(), self.log.read_text(errors="replace"))
        return json.loads(answer)

    def stop(self) -> int:
        """Let it end, and return its exit status."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        status = self.process.wait()
        self.process.stdout.close()
        return status


def compare(name: str, ours: list[float], theirs: list[float], bar: str, unit: str) -> Result:
    """Ratio of medians, ours to theirs, with a 95 % bootstrap interval over the rounds."""
    draw = random.Random(0)
    ratios = sorted(
        statistics.median(draw.choices(ours, k=len(ours))) / statistics.median(draw.choices(theirs, k=len(theirs)))
        for _ in range(2000)
    )
    middle, other = statistics.median(ours), statistics.median(theirs)
    return Result(name, middle / other, ratios[50], ratios[1949], bar, middle, other, unit, machine())
