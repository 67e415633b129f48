"""Tasks: which one labels are for, how they are read, and what their metrics say, beside scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as known

from tfprune.adapters.backend import keras, keras3, tf
from tfprune.data._targets import read_targets, task_of
from tfprune.data.objectives import OBJECTIVES
from tfprune.data.objectives._base import inverse_frequencies
from tfprune.utils.errors import ConfigError, DataError
from tfprune.utils.trees import as_numpy


def cells(**columns):
    return {name: np.array(list(map(str, own)), object) for name, own in columns.items()}


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        ("regression", {"price": range(100)}),
        ("regression", {"price": [1.5, 2.25, 3.5]}),  # each once
        ("regression", {"age": [*range(17, 60)] * 9}),  # many, and not counted from 0 or 1
        ("regression", {"a": [1, 2, 3], "b": [0, 1, 0]}),
        ("classification", {"kind": ["ant", "bee"] * 9}),
        ("classification", {"grade": [1.5, 2.5] * 9}),
        ("classification", {"digit": [*range(30)] * 3}),
        ("classification", {"text": ["a;b", "c", "d;e"]}),  # no label comes again
        ("multilabel", {"tags": ["a;b", "a", "b;c", ";", "c"]}),
        ("multilabel", {"a": [0, 1], "b": ["true", "False"]}),
    ],
)
def test_labels_say_their_task(task, columns):
    assert task_of(cells(**columns), "file") == task


def test_what_was_taken_is_said_with_the_way_to_the_other():
    assert read_targets("auto", cells(price=range(100)), "file").note == (
        "column 'price': 100 different numbers: regression (--task classification for classes)"
    )
    assert "(--task regression predicts numbers)" in read_targets("auto", cells(grade=[1, 2, 3] * 4), "file").note
    assert not read_targets("auto", cells(kind=["a", "b", "c"] * 4), "file").note


@pytest.mark.parametrize(
    ("task", "columns", "message"),
    [
        ("auto", {"a": [1, 2], "b": ["x", 2]}, "column b has 'x'"),
        ("regression", {"price": [1, "many"]}, "column price has 'many' among its labels.*--task classification"),
        ("regression", {"price": [1, "inf"]}, "column price has 'inf'"),
        ("regression", {"price": [2, 2]}, "all labels in price are 2"),
        ("classification", {"kind": ["a", "a"]}, "two classes or more"),
        ("classification", {"price": range(300)}, "300 different values.*--task regression predicts numbers"),
        ("classification", {"a": [0, 1], "b": [0, 1]}, "one column of labels, got a, b"),
        ("multilabel", {"a": [0, 1], "b": [0, 2]}, "column b has '2', and each column .* holds 0 and 1"),
        ("multilabel", {"a": [0, 1], "b": [0, 0]}, "no example has the label 'b'"),
        ("multilabel", {"n": ["1.5", "2.5", "3.5", "2"]}, "no cell of column n has several labels"),
        ("multilabel", {"tags": ["a", "a"]}, "needs two labels or more.*column tags has a"),
    ],
)
def test_labels_of_no_task_are_a_line(task, columns, message):
    with pytest.raises(DataError, match=message):
        read_targets(task, cells(**columns), "file")


def test_masks_are_in_no_table():
    with pytest.raises(ConfigError, match="folder of images and masks"):
        read_targets("segmentation", cells(a=[0, 1]), "file")


def test_targets_are_standardised_by_the_training_split_and_come_back():
    objective = OBJECTIVES["regression"]
    y = np.array([[10.0, 7.0], [30.0, 7.0], [50.0, 8.0]])
    own = objective.fitted(y[:2])
    assert own.mean == (20.0, 7.0) and own.deviation == (10.0, 1.0)  # what does not vary is only moved
    assert own.encoded(y).tolist() == [[-1, 0], [1, 0], [3, 1]]
    assert np.allclose(own.truth(own.encoded(y)), y)
    assert objective.fitted(np.full((100, 1), 0.1)).deviation == (1.0,)  # its mean is another number than 0.1


def test_lists_become_columns_of_0_and_1():
    found = read_targets("multilabel", cells(tags=["b; a", ";", "c"]), "file")
    assert found.labels == ("a", "b", "c") and found.y.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


RANDOM = np.random.default_rng(0)
TRUE, SCORES = RANDOM.integers(0, 6, 200), RANDOM.dirichlet(np.ones(7), 200)  # nothing is of the last class
BOTH, RANKED = RANDOM.integers(0, 2, 99), RANDOM.integers(0, 9, 99) / 10  # with ties
MANY, MANY_SCORES = RANDOM.random((99, 4)) < 0.3, RANDOM.random((99, 4))
NUMBERS = RANDOM.normal(size=(50, 2)) * [1, 10]
ANSWERS = NUMBERS + RANDOM.normal(size=(50, 2))


def chosen():
    return SCORES.argmax(axis=1)


@pytest.mark.parametrize(
    ("task", "name", "truth", "answers", "theirs"),
    [
        ("classification", "accuracy", TRUE, SCORES, lambda: known.accuracy_score(TRUE, chosen())),
        ("classification", "balanced_accuracy", TRUE, SCORES, lambda: known.balanced_accuracy_score(TRUE, chosen())),
        ("classification", "f1", TRUE, SCORES, lambda: known.f1_score(TRUE, chosen(), average="macro")),
        ("classification", "recall", TRUE, SCORES, lambda: known.recall_score(TRUE, chosen(), average="macro")),
        ("classification", "precision", TRUE, SCORES, lambda: known.precision_score(TRUE, chosen(), average="macro")),
        (
            "classification",
            "top5",
            TRUE,
            SCORES,
            lambda: known.top_k_accuracy_score(TRUE, SCORES, k=5, labels=range(7)),
        ),
        ("classification", "auc", BOTH, np.stack([1 - RANKED, RANKED], 1), lambda: known.roc_auc_score(BOTH, RANKED)),
        ("multilabel", "accuracy", MANY, MANY_SCORES, lambda: np.mean((MANY_SCORES > 0.5) == MANY)),
        ("multilabel", "exact", MANY, MANY_SCORES, lambda: known.accuracy_score(MANY, MANY_SCORES > 0.5)),
        ("multilabel", "f1", MANY, MANY_SCORES, lambda: known.f1_score(MANY, MANY_SCORES > 0.5, average="macro")),
        ("multilabel", "auc", MANY, MANY_SCORES, lambda: known.roc_auc_score(MANY, MANY_SCORES)),
        ("regression", "mae", NUMBERS, ANSWERS, lambda: known.mean_absolute_error(NUMBERS, ANSWERS)),
        ("regression", "rmse", NUMBERS, ANSWERS, lambda: known.root_mean_squared_error(NUMBERS, ANSWERS)),
        ("regression", "r2", NUMBERS, ANSWERS, lambda: known.r2_score(NUMBERS, ANSWERS)),
        ("segmentation", "accuracy", TRUE.reshape(2, 10, 10), SCORES.reshape(2, 10, 10, 7), None),
        ("segmentation", "iou", TRUE.reshape(2, 10, 10), SCORES.reshape(2, 10, 10, 7), None),
        ("segmentation", "dice", TRUE.reshape(2, 10, 10), SCORES.reshape(2, 10, 10, 7), None),
    ],
)
def test_metrics_are_those_of_scikit_learn(task, name, truth, answers, theirs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are chosen and never right
        if task == "segmentation":
            score = {"accuracy": known.accuracy_score, "iou": known.jaccard_score, "dice": known.f1_score}[name]
            more = {} if name == "accuracy" else {"average": "macro"}
            expected = score(TRUE, chosen(), **more)
        else:
            expected = theirs()
    assert OBJECTIVES[task].metrics[name].of(truth, answers) == pytest.approx(expected, rel=1e-12)


def test_a_metric_that_is_not_defined_is_left_out():
    objective = OBJECTIVES["classification"](extra=("auc",))
    answers = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert objective.compared(np.array([1, 1]), answers) == {"accuracy": 0.5}
    assert objective.compared(np.array([1, 0]), answers) == {"accuracy": 1.0, "auc": 1.0}


def test_every_task_says_which_metric_compares_and_in_which_direction():
    for task in OBJECTIVES:
        objective = OBJECTIVES[task]
        assert {*objective.scores, objective.primary} <= objective.metrics.keys() and objective.name == task
    mae, f1 = OBJECTIVES["regression"].metrics["mae"], OBJECTIVES["multilabel"].metrics["f1"]
    assert (mae.better, f1.better) == ("lower MAE", "higher macro F1")
    assert mae.margin(20.0) == pytest.approx(0.1) and f1.margin(0.2) == 0.005
    assert (mae.text(1234.6), f1.text(0.123)) == ("1,235", "12.3 %")


def test_balanced_weights_give_each_class_the_same_share():
    y = np.array([0] * 6 + [1] * 3 + [2])
    weights = np.array(inverse_frequencies(y, 3))[y]
    assert weights.mean() == pytest.approx(1)
    assert np.bincount(y, weights).tolist() == pytest.approx([10 / 3] * 3)


def log_softmax(outputs):
    return outputs - np.log(np.exp(outputs).sum(axis=-1, keepdims=True))


def cross_entropy(y, outputs):
    return -np.take_along_axis(log_softmax(outputs), y[..., None], axis=-1)[..., 0]


def sigmoids(y, outputs):
    return np.log1p(np.exp(-outputs)) + (1 - y) * outputs


OUTPUTS = RANDOM.normal(size=(2, 3, 4, 3))
CLASS = RANDOM.integers(0, 3, (2, 3, 4))
HAS = RANDOM.integers(0, 2, (5, 3)).astype(np.float32)
WEIGHTS = (0.5, 1.0, 3.0)
BY_HAND = {  # task -> y, outputs, loss and logged score of each example, loss with the weights of the classes
    "classification": (
        CLASS[0, 0],
        OUTPUTS[0, 0],
        cross_entropy(CLASS[0, 0], OUTPUTS[0, 0]),
        OUTPUTS[0, 0].argmax(-1) == CLASS[0, 0],
        cross_entropy(CLASS[0, 0], OUTPUTS[0, 0]) * np.array(WEIGHTS)[CLASS[0, 0]],
    ),
    "regression": (
        OUTPUTS[0, 1],
        OUTPUTS[0, 0],
        np.mean((OUTPUTS[0, 1] - OUTPUTS[0, 0]) ** 2, axis=-1),
        np.mean(np.abs(OUTPUTS[0, 1] - OUTPUTS[0, 0]) * [1, 10, 100], axis=-1),
        None,
    ),
    "multilabel": (
        HAS,
        RANKED[:15].reshape(5, 3) - 0.45,
        np.mean(sigmoids(HAS, RANKED[:15].reshape(5, 3) - 0.45), axis=-1),
        np.mean((RANKED[:15].reshape(5, 3) > 0.45) == HAS, axis=-1),
        np.mean(sigmoids(HAS, RANKED[:15].reshape(5, 3) - 0.45) * np.where(HAS, WEIGHTS, 1), axis=-1),
    ),
    "segmentation": (
        CLASS,
        OUTPUTS,
        cross_entropy(CLASS, OUTPUTS).mean(axis=(1, 2)),
        (OUTPUTS.argmax(-1) == CLASS).mean(axis=(1, 2)),
        (cross_entropy(CLASS, OUTPUTS) * np.array(WEIGHTS)[CLASS]).mean(axis=(1, 2)),
    ),
}


@pytest.mark.parametrize("library", [keras, keras3], ids=["tf_keras", "keras"])
@pytest.mark.parametrize("task", BY_HAND)
def test_losses_are_those_by_hand_in_both_keras(task, library):
    library = library if library is keras else library()
    y, outputs, losses, scores, weighted = BY_HAND[task]
    outputs = outputs.astype(np.float32)
    own = {"mean": (0.0,) * 3, "deviation": (1.0, 10.0, 100.0)} if task == "regression" else {}
    objective = OBJECTIVES[task](**own)
    np.testing.assert_allclose(as_numpy(objective.losses(library, y, outputs)), losses, rtol=1e-5)
    np.testing.assert_allclose(as_numpy(objective.logged_scores(library, y, outputs)), scores, rtol=1e-5)
    assert objective.evaluate(library, y, outputs)["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    if weighted is not None:
        objective = OBJECTIVES[task](class_weights=WEIGHTS)
        tensor = library.ops.convert_to_tensor if hasattr(library, "ops") else tf.constant
        found = as_numpy(objective.trained_losses(library, tensor(y), tensor(outputs)))
        np.testing.assert_allclose(found, weighted, rtol=1e-5)
