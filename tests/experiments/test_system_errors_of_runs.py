import errno
import os

import pytest

from tfprune.adapters.backend import tf
from tfprune.experiments.system_errors import translate_errors
from tfprune.utils.errors import RunError, TrainingError

NO_FORM = "A deterministic GPU implementation of DepthwiseConvBackpropFilter is not currently available"


def os_error(number):
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (os_error(errno.ENOSPC), RunError, "the disk is full; make room, and the same command goes on"),
        (os_error(errno.EDQUOT), RunError, "the disk is full"),
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), RunError, "the disk is full"),
        (tf.errors.UnknownError(None, None, "x; No space left on device"), RunError, "the disk is full"),
        (os_error(errno.EROFS), RunError, "Read-only file system"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
            TrainingError,
            "out of memory; try a lower",
        ),
        (MemoryError(), TrainingError, "out of memory"),
        (
            tf.errors.UnimplementedError(None, None, f"Graph execution error:\n{NO_FORM}.\n\t [[{{{{node x}}}}]]"),
            *(TrainingError, f"^{NO_FORM}; leave --deterministic out, or choose another --model$"),
        ),
    ],
)
def test_each_mishap_is_one_line(tmp_path, error, raised, message):
    with pytest.raises(raised, match=message), translate_errors(tmp_path):
        raise error


@pytest.mark.parametrize("error", [os_error(errno.ENOENT), tf.errors.NotFoundError(None, None, "no such file")])
def test_a_folder_that_is_gone_is_named(tmp_path, error):
    with (
        pytest.raises(RunError, match="absent: the run's folder has been removed"),
        translate_errors(tmp_path / "absent"),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        *(os_error(errno.ENOENT), tf.errors.InvalidArgumentError(None, None, "a bug"), KeyError()),
        tf.errors.UnimplementedError(None, None, "not on this device"),
    ],
)
def test_bugs_keep_their_traceback(tmp_path, error):
    with pytest.raises(type(error)) as raised, translate_errors(tmp_path):
        raise error
    assert raised.value is error
