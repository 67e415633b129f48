import os
import signal
import subprocess
import sys
import time

import pytest

from tfprune.training.stopping import SignalHandler, Stopped

STUCK = """
import time
from tfprune.training import stopping
stopping.GRACE = 0.5
with stopping.SignalHandler() as signals, signals.deferred():
    print("ready", flush=True)
    {work}
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_a_good_place_and_is_then_raised(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stop, SignalHandler() as signals:
        with signals.deferred():
            os.kill(os.getpid(), number)
            assert signals.asked == number
            reached = True
    assert reached and stop.value.exit_code == code and isinstance(stop.value, KeyboardInterrupt)
    assert signal.getsignal(number) is before


def test_outside_of_a_training_it_is_raised_at_once():
    with pytest.raises(Stopped), SignalHandler():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        pytest.fail("went on")


def test_a_second_ctrl_c_does_not_wait():
    with pytest.raises(Stopped), SignalHandler() as signals, signals.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # which is no second Ctrl-C
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")


def test_an_error_that_native_code_makes_of_it_is_a_stop_too():
    """As TensorFlow's makes a SystemError when a signal comes while it builds a list."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped) as stop, SignalHandler() as signals, signals.reraise_as_stopped():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except Stopped:
            raise SystemError("Objects/listobject.c:338: bad argument to internal function") from None
    assert stop.value.exit_code == 130 and isinstance(stop.value.__cause__, SystemError)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(SystemError), SignalHandler() as signals, signals.reraise_as_stopped():  # nobody asked
        raise SystemError


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_comes_to_no_good_place_is_ended(number, code):
    """Here it is Python that never comes to a good place; the watcher cannot tell the difference."""
    work = "end = time.monotonic() + 60\n    while time.monotonic() < end: time.sleep(0.01)"
    command = [sys.executable, "-c", STUCK.format(work=work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    started = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code and time.monotonic() - started < 10
    assert err == "Stopped in the middle of a step; what was saved before is kept.\n"
