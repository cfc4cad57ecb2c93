"""Faults, each begun and ended by a block."""

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg

from tests.serving.http.conftest import is_running


def killed(*process_ids: int) -> None:
    """`kill -9`; returns once they have ended."""
    for process_id in process_ids:
        os.kill(process_id, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(is_running(one) for one in process_ids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def sqlite_locked(database_url: str) -> Iterator[None]:
    """Another connection has the lock of the writer."""
    with closing(
        sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def postgresql_locked(database_url: str, statement: str, values: Sequence[object] = ()) -> Iterator[None]:
    """Another connection holds what a statement locks."""
    with psycopg.connect(database_url) as other:
        other.execute(statement.encode(), values)
        yield
        other.rollback()


@contextmanager
def moved_away(file: Path) -> Iterator[Path]:
    """A file is not where it was; comes back at the end. The block gets its place."""
    hidden = file.with_name(f"{file.name}.hidden")
    file.rename(hidden)
    try:
        yield file
    finally:
        hidden.replace(file)


@contextmanager
def written_no_further(*process_ids: int) -> Iterator[None]:
    """Processes can write to no file, as where a quota is used up: each write past its beginning fails."""
    before = {one: psutil.Process(one).rlimit(psutil.RLIMIT_FSIZE) for one in process_ids}
    for one, (_, hard) in before.items():
        psutil.Process(one).rlimit(psutil.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for one, limits in before.items():
            if is_running(one):
                psutil.Process(one).rlimit(psutil.RLIMIT_FSIZE, limits)


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[None]:
    """So many clients connect and say nothing, and connect again whenever they are cut off."""
    ended = threading.Event()

    def keep() -> None:
        held: list[socket.socket] = []
        while not ended.is_set():
            while len(held) < count and not ended.is_set():
                try:
                    connection = socket.create_connection(("127.0.0.1", port), timeout=1)
                except OSError:
                    break
                connection.setblocking(False)
                held.append(connection)
            held = [one for one in held if not _is_cut_off(one)]
            ended.wait(0.1)
        for one in held:
            one.close()

    keeping = threading.Thread(target=keep)
    keeping.start()
    try:
        yield
    finally:
        ended.set()
        keeping.join()


def _is_cut_off(connection: socket.socket) -> bool:
    try:
        is_over = not connection.recv(4_096)
    except BlockingIOError:
        return False
    except OSError:
        is_over = True
    if is_over:
        connection.close()
    return is_over
