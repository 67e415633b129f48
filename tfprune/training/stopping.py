"""Ctrl-C and SIGTERM: a training that is asked to stop saves itself first, and stops within seconds in any case."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 4.0  # seconds after a signal; then the process ends, whatever it is at


class Stopped(KeyboardInterrupt):
    """Someone asked this process to stop.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell expects: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.number


class SignalHandler:
    """Watches for signals while it is entered. Python's own handlers work in the main thread alone; elsewhere it waits
    for none.

    Attributes:
        asked: the number of the signal that came while `deferred`, 0 before.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._deferred = False

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Leaves it to the caller to look at `asked`, and to `stop`, where it suits; another Ctrl-C does not wait."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.stop()

    def stop(self) -> None:
        """Raises `Stopped` if a signal has come."""
        if self.asked:
            raise Stopped(self.asked)

    def __enter__(self) -> SignalHandler:
        self._before = {}
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="tfprune stopper")
        self._watcher.start()
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    @contextlib.contextmanager
    def reraise_as_stopped(self) -> Iterator[None]:
        """Raises `Stopped` for an error that came after a signal: what a signal's handler raises in the middle of
        native code can come out of it as another one, such as a SystemError."""
        try:
            yield
        except Exception as error:
            if self.asked:
                raise Stopped(self.asked) from error
            raise

    def __exit__(self, *_: object) -> None:
        if not self._before:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: one that is not Python's
        signal.set_wakeup_fd(self._fd_before)
        self._ended.set()
        os.close(self._writer)
        self._watcher.join()
        os.close(self._reader)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, self.asked or number
        if not self._deferred or (again == number == signal.SIGINT):
            raise Stopped(self.asked)

    def _watch(self) -> None:
        """Ends the process if native code keeps it too long from hearing of a signal."""
        number = 0
        while number not in SIGNALS:  # others wake it up too
            read = os.read(self._reader, 1)
            if not read:
                return
            number = read[0]
        if not self._ended.wait(GRACE):
            sys.stderr.write("Stopped in the middle of a step; what was saved before is kept.\n")
            sys.stderr.flush()
            os._exit(128 + number)
