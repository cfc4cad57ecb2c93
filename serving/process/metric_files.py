"""Metrics of several processes without memory-mapped files, which can end a process.

prometheus_client keeps what each process counts in a file that is mapped into memory. Where the disk is full,
writing to such memory is no error that could be caught: the system ends the process by SIGBUS. A slow disk
holds up whoever counts. Here a process counts in its own memory, and a thread writes that to a file of the
same form now and then, for the other processes' pages; a file that cannot be written is left for the next
time.

Metrics are made from the classes that this module passes on, so that none is made before it is in place.
"""

import glob
import logging
import mmap
import os
import secrets
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, multiprocess, values
from prometheus_client.mmap_dict import MmapedDict

from serving.process.regular_look import RegularLook

__all__ = [
    "BEFORE_WRITING",
    "Counter",
    "Gauge",
    "Histogram",
    "MetricFiles",
    "ValuesInMemory",
    "merged_metrics",
]

LOG = logging.getLogger("bonitas.metrics")
WRITE_SECONDS = 5.0
"""So old a figure of another process may be on the page of this one; its own are always those of now."""

BEFORE_WRITING: list[Callable[[], None]] = []
"""Called before metrics are written or shown: each adds to them what waited elsewhere in this process."""

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""BentoML's; set where several processes may serve."""


class ValuesInMemory:
    """What this process counts, in the place of one of prometheus_client's mapped files."""

    of_this_process: "dict[str, ValuesInMemory]" = {}  # noqa: RUF012 - one for the process, as the files are

    def __init__(self, filename: str) -> None:
        self._file = Path(filename)
        self._values: dict[str, tuple[float, float]] = {}
        self._written: dict[str, tuple[float, float]] | None = None
        self.of_this_process[filename] = self

    def read_value(self, key: str) -> tuple[float, float]:
        """Value and timestamp of a series, 0 for a new one."""
        return self._values.setdefault(key, (0.0, 0.0))

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Keep the value of a series."""
        self._values[key] = (value, timestamp)

    def close(self) -> None:
        """The process was forked, and the child counts anew."""
        self.of_this_process.pop(str(self._file), None)

    def now(self) -> Iterator[tuple[str, float, float, int]]:
        """Every series with its value and timestamp; the fourth is a place in a file, which nobody reads."""
        for key, (value, timestamp) in self._values.copy().items():
            yield key, value, timestamp, 0

    def write(self) -> None:
        """Write the file whole or not at all, where anything has changed. Raises OSError."""
        values_now = self._values.copy()
        if values_now == self._written:
            return
        unfinished = self._file.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            unfinished.write_bytes(_as_mapped_file(values_now))
            unfinished.replace(self._file)
        finally:
            unfinished.unlink(missing_ok=True)
        self._written = values_now

    @classmethod
    def read_all_values_from_file(cls, filename: str) -> Iterable[tuple[str, float, float, int]]:
        """The values of one process: from memory where it is this one, else from what that one wrote last."""
        own = cls.of_this_process.get(filename)
        if own is not None:
            return own.now()
        read: Iterable[tuple[str, float, float, int]] = MmapedDict.read_all_values_from_file(filename)  # type: ignore[no-untyped-call]  # the library has no types here
        return read


def _as_mapped_file(values_now: dict[str, tuple[float, float]]) -> bytes:
    """As prometheus_client reads it: of each series the key, padded to eight bytes, and two doubles."""
    parts = []
    for key, (value, timestamp) in values_now.items():
        encoded = key.encode()
        padded = encoded + b" " * (8 - (len(encoded) + 4) % 8)
        parts.append(struct.pack(f"i{len(padded)}sdd", len(encoded), padded, value, timestamp))
    content = b"".join(parts)
    # The reader takes the first page as it comes and then what is left.
    return struct.pack("i4x", 8 + len(content)) + content.ljust(mmap.PAGESIZE, b"\0")


def settle_counts() -> None:
    """Add to the metrics what waits to be added."""
    for settle in BEFORE_WRITING:
        settle()


def merged_metrics() -> Iterable[Any]:
    """The metrics of all processes of the service, each added up as its kind says."""
    written = glob.glob(os.path.join(glob.escape(os.environ[FOLDER_VARIABLE]), "*.db"))  # noqa: PTH118, PTH207 - the names as prometheus_client spells them
    files = dict.fromkeys([*written, *ValuesInMemory.of_this_process])
    merged: Iterable[Any] = multiprocess.MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]  # the library has no types here
    return merged


class MetricFiles:
    """Writes what this process counts for the pages of the others, beside the requests."""

    def __init__(self) -> None:
        self._is_told = False
        self._looking = RegularLook(self.write, name="metric-files", every_seconds=WRITE_SECONDS)

    def start(self) -> None:
        """Write now, and go on in the background."""
        self._looking.start()

    def stop(self) -> None:
        """Write a last time: counters outlive the process that counted."""
        self._looking.stop()
        self.write()

    def write(self) -> None:
        """Write what has changed; what cannot be written is told once and tried again."""
        settle_counts()
        try:
            for one in tuple(ValuesInMemory.of_this_process.values()):
                one.write()
        except OSError as problem:
            if not self._is_told:
                LOG.warning("metrics_not_written", extra={"reason": str(problem)})
            self._is_told = True
        else:
            self._is_told = False


values.MmapedDict = ValuesInMemory  # type: ignore[assignment,attr-defined]  # where it is looked up; the library has no seam
multiprocess.MmapedDict = ValuesInMemory  # type: ignore[assignment,attr-defined]  # as above
