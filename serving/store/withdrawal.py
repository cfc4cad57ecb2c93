"""Taking back a piece of work in another thread, up to the moment in which its transaction commits."""

import os
import socket
import threading
from enum import Enum, auto

from serving.store.errors import StoreUnavailable


class _State(Enum):
    RUNNING = auto()
    WITHDRAWN = auto()
    COMMITTING = auto()


class Withdrawal:
    """Shared by who does a piece of work and who waits for it.

    Who waits may withdraw the work; who does it asks before its commit. Exactly one of the two is first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = _State.RUNNING
        self._connection: socket.socket | None = None

    def withdraw(self) -> bool:
        """Take the work back; True where nothing of it is or will be kept, False where it was committing.

        A connection that the work waits on is cut, so that its thread is free again.
        """
        with self._lock:
            if self._state is _State.RUNNING:
                self._state = _State.WITHDRAWN
            if self._connection is not None:
                _cut(self._connection)
            return self._state is _State.WITHDRAWN

    def begins(self, socket_fd: int) -> None:
        """A transaction begins on this connection. Raises StoreUnavailable where the work was withdrawn."""
        with self._lock:
            self._require_wanted()
            # A descriptor of our own: the driver may close its own at any time, and another gets its number.
            self._connection = socket.socket(fileno=os.dup(socket_fd))

    def commits(self) -> None:
        """The transaction commits next. Raises StoreUnavailable where the work was withdrawn."""
        with self._lock:
            self._require_wanted()
            self._state = _State.COMMITTING

    def ended(self) -> None:
        """The transaction has ended: its connection is not cut any more."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _require_wanted(self) -> None:
        if self._state is _State.WITHDRAWN:
            raise StoreUnavailable("nobody waits for the answer any more")


def _cut(connection: socket.socket) -> None:
    """End a connection that another thread waits on; that thread sees a connection that broke."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It is broken already, and so is the wait.
        return
