import numpy as np
import pytest

from tfprune.adapters.backend import tf
from tfprune.training.examples import first_examples
from tfprune.utils.errors import ConfigError


def examples(data, per_class=1):
    return first_examples(data, per_class, np.random.default_rng(0))


def test_nested_lists_are_taken_as_the_arrays_that_they_stand_for():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6) % 2
    one, other = examples((x.tolist(), y.tolist()), 2), examples((x, y), 2)
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.y, other.y)
    assert sorted(one.y) == [0, 0, 1, 1]


@pytest.mark.parametrize("batched", [False, True])
def test_what_has_no_rows_is_refused_in_one_line(batched):
    ragged = tf.ragged.constant([[1], [2, 3]])
    data = tf.data.Dataset.from_tensors((ragged, [0, 1])) if batched else (ragged, np.arange(2))
    with pytest.raises(ConfigError, match="cannot take out of a RaggedTensor: give dense arrays, or"):
        examples(data)


@pytest.mark.parametrize("data", [(np.zeros((0, 2)), np.zeros(0, int)), tf.data.Dataset.range(0)])
def test_no_examples_are_refused_in_one_line(data):
    with pytest.raises(ConfigError, match="there are no examples"):
        examples(data)
