import collections
import csv

import numpy as np
import pytest

from tfprune.adapters.backend import tf
from tfprune.data import penguins
from tfprune.data.penguins import encode, load


def rows(split):
    return {tuple(row) for row in split.x.round(6).tolist()}


def test_333_complete_rows_split_200_100_33_without_overlap():
    data = load(seed=0)
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [200, 100, 33]
    assert data.input_shape == (12,) and data.labels == ("Adelie", "Chinstrap", "Gentoo")
    assert len(rows(data.train) | rows(data.validation) | rows(data.test)) == 333
    assert collections.Counter(np.concatenate([split.y for split in splits]).tolist()) == {0: 146, 1: 68, 2: 119}


def test_the_seed_decides_the_split_and_nothing_else_does():
    assert np.array_equal(load(seed=1).train.x, load(seed=1).train.x)
    assert not np.array_equal(load(seed=1).train.x, load(seed=2).train.x)


def test_features_are_those_of_the_class_project():
    data = load(row_order=range(333))
    first = [0, 0, 1, 39.1 / 50, 18.7 / 20, 181 / 200, 3750 / 5000, 0, 1, 1, 0, 0]  # Torgersen ... male, 2007
    np.testing.assert_allclose(data.train.x[0], first, rtol=1e-6)


def test_an_unknown_category_is_an_error_that_lists_the_known_ones():
    with open(penguins.CSV, newline="") as file:
        row = next(csv.DictReader(file))
    columns = {name: tf.constant([row[name]]) for name in ("island", "sex")}
    columns |= {name: tf.constant([float(row[name])]) for name in penguins.SCALES}
    columns["year"] = tf.constant([2007], tf.int64)
    assert encode(columns).shape == (1, 12)
    with pytest.raises(tf.errors.InvalidArgumentError, match="island must be one of Biscoe, Dream, Torgersen"):
        encode(columns | {"island": tf.constant(["Atlantis"])})
