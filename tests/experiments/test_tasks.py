"""Runs of tasks beside classification, from data to the exported model, which answers as the run says."""

import csv

import numpy as np
import pytest
from PIL import Image

from tfprune.adapters.backend import tf
from tfprune.cli.predict import _write_masks
from tfprune.experiments.building import load_data
from tfprune.experiments.experiment import train
from tfprune.exporting.inference import Predictor
from tfprune.exporting.savedmodel import load_weights
from tfprune.methods import METHODS
from tfprune.training.callbacks import History
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, DataError

ROWS = 60
COLUMNS = ("rooms", "age", "price", "large", "old", "tags", "text", "size")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    random, rows = np.random.default_rng(0), []
    for _ in range(ROWS):
        rooms, age = int(random.integers(1, 7)), int(random.integers(60))
        large, old = int(rooms > 3), int(age > 30)
        tags = ";".join([name for name, has in (("large", large), ("old", old)) if has]) or ";"
        words = f"a {'large' if large else 'small'} house of {rooms} rooms"
        price = 40_000 * rooms - 900 * age + round(random.normal() * 9_000)
        rows.append((rooms, age, price, large, old, tags, words, "large" if large else "small"))
    path = tmp_path_factory.mktemp("tables") / "houses.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    root, random = tmp_path_factory.mktemp("masks"), np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir()
    for number in range(16):
        mask = np.zeros((8, 8), np.uint8)
        top, left = random.integers(0, 4, 2)
        mask[top : top + 4, left : left + 4] = 1
        pixels = (40 * random.random((8, 8, 1)) + 180 * mask[..., None]).repeat(3, -1).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def of_table(table, out, label, inputs=("rooms", "age"), **changes):
    labels = (label,) if isinstance(label, str) else label
    settings = {"label": label, "ignore": [name for name in COLUMNS if name not in (*inputs, *labels)]}
    settings |= changes.pop("data_settings", {})
    plain = {"method": "dynamic", "epochs": 3, "settings": {"final_sparsity": 0.5, "events": [0.5]}} | changes
    return Config(dataset=str(table), data_settings=settings, out=str(out), **plain)


def served(result):
    """The exported model's answers to the raw rows of the test split, and the labels in the file."""
    with open(result.config.dataset) as file:
        rows = list(csv.DictReader(file))
    with open(result.folder.splits) as file:
        places = [int(row["example"]) for row in csv.DictReader(file) if row["split"] == "test"]
    part = result.folder.root / "rows.csv"
    with open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows[place] for place in places)
    predictor = Predictor(result.model)
    return predictor.predict_table(part), [rows[place] for place in places]


def test_numbers_are_learnt_standardised_and_served_in_their_unit(table, tmp_path):
    result = train(of_table(table, tmp_path, ("price", "age"), inputs=("rooms",), metrics=("r2",)))
    test = result.metrics["test"]
    assert result.config.task == "regression" and result.sparsity == pytest.approx(0.5, abs=0.01)
    answers, rows = served(result)
    errors = [
        [own.values[name] - float(row[name]) for name in ("price", "age")]
        for own, row in zip(answers, rows, strict=True)
    ]
    assert np.abs(errors).mean() == pytest.approx(test["mae"], rel=1e-5)
    assert np.sqrt(np.square(errors).mean(axis=0)).mean() == pytest.approx(test["rmse"], rel=1e-5)
    truth = np.array([[float(row[name]) for name in ("price", "age")] for row in rows])
    means = load_data(result.config).objective.mean
    assert np.abs(truth - means).mean() == pytest.approx(result.constant["test"]["mae"], rel=1e-5)
    last = result.history()[-1]
    assert last["val_mae"] == pytest.approx(result.metrics["validation"]["mae"], rel=1e-4)
    assert last["val_r2"] == pytest.approx(result.metrics["validation"]["r2"], rel=1e-4)


def test_several_labels_have_a_sigmoid_each(table, tmp_path):
    config = of_table(table, tmp_path, "tags", metrics=("exact",), class_weight="balanced")
    result = train(config)
    answers, rows = served(result)
    found = [{label for label in own.label.split(";") if label} for own in answers]
    known = [{label for label in row["tags"].split(";") if label} for row in rows]
    right = np.mean(
        [
            (label in own) == (label in other)
            for own, other in zip(found, known, strict=True)
            for label in ("large", "old")
        ]
    )
    assert right == pytest.approx(result.metrics["test"]["accuracy"])
    assert np.mean([own == other for own, other in zip(found, known, strict=True)]) == pytest.approx(
        result.metrics["test"]["exact"]
    )
    lists, columns = load_data(config), load_data(of_table(table, tmp_path, ("large", "old")))
    assert np.array_equal(lists.train.y, columns.train.y)  # the same labels in another form


def test_texts_are_served_as_they_are_and_words_are_those_of_the_training_split(table, tmp_path):
    config = of_table(table, tmp_path, "size", data_settings={"text": "text", "ignore": [], "length": 6}, epochs=2)
    result = train(config)
    answers, rows = served(result)
    assert (
        np.mean([own.label == row["size"] for own, row in zip(answers, rows, strict=True)])
        == result.metrics["test"]["accuracy"]
    )
    inputs = load_data(config).inputs["serving_default"]
    assert set(inputs.described[0]["words"]) >= {"large", "small", "house"} and config.model == "text_pool"
    assert inputs.optional == ()


def test_a_text_that_is_missing_is_served_as_it_was_trained(table, tmp_path):
    settings = {"text": "text", "ignore": [], "length": 6, "missing": "impute"}
    inputs = load_data(of_table(table, tmp_path, "size", data_settings=settings)).inputs["serving_default"]
    assert inputs.optional == ("text",)
    assert inputs.encode({"text": tf.constant([""])}).numpy().tolist() == [[0] * 6]


@pytest.mark.parametrize("granularity", ["weight", pytest.param("filter", marks=pytest.mark.slow)])
def test_masks_are_learnt_pixel_by_pixel(granularity, masks, tmp_path):
    settings = {"settings": {"final_sparsity": 0.5, "events": [0.5]}, "model_settings": {"filters": (4, 8)}}
    own = {"epochs": 2, "batch_size": 4, "granularity": granularity, "out": str(tmp_path)}
    channels = {"channel_settings": {"multiple": 1}} if granularity == "filter" else {}
    config = Config(dataset=str(masks), **own, **settings, **channels)
    result = train(config)
    assert config.task == "segmentation" and config.model == "unet"
    with open(result.folder.splits) as file:
        names = [row["example"] for row in csv.DictReader(file) if row["split"] == "test"]
    predictor = Predictor(result.model)
    answers = [(masks / name, None, predictor.predict_image(masks / name)) for name in names]
    found = [own.mask for _, _, own in answers]
    _write_masks(tmp_path / "new", predictor, answers)
    assert np.array_equal(np.array(Image.open(tmp_path / "new" / names[0].removeprefix("images/"))), found[0])
    with pytest.raises(ConfigError, match="the images are in this folder"):
        _write_masks(masks / "images", predictor, answers)
    known = [np.array(Image.open(masks / name.replace("images", "masks"))) for name in names]
    assert np.mean(np.array(found) == np.array(known)) == pytest.approx(result.metrics["test"]["accuracy"])
    if granularity == "filter":
        assert result.metrics["channels"]["parameters"]["after"] < result.metrics["channels"]["parameters"]["before"]


@pytest.mark.parametrize(
    ("label", "changes", "message"),
    [
        (
            "text",
            {"data_settings": {"task": "regression"}},
            "column text has 'a .*task regression needs finite numbers",
        ),
        ("price", {"metrics": ("f1",)}, "task regression has no metric 'f1'"),
        ("price", {"class_weight": "balanced"}, "class_weight is of classes"),
        ("size", {"class_weight": "even"}, "unknown class_weight 'even'"),
        (("price", "size"), {}, "column size has '(large|small)'"),
    ],
)
def test_settings_that_the_task_has_not_are_a_line(label, changes, message, table, tmp_path):
    with pytest.raises((ConfigError, DataError), match=message):
        load_data(of_table(table, tmp_path, label, **changes))


def spoilt(name, change):
    return pytest.param(name, change, id=name)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        spoilt("the mask has 4 x 4 pixels, and its image 8 x 8", lambda own: Image.new("L", (4, 4)).save(own)),
        spoilt("one channel with the class number", lambda own: Image.new("RGB", (8, 8)).save(own)),
        spoilt("more classes than 64", lambda own: Image.new("L", (8, 8), 200).save(own)),
        spoilt("there is no mask of that name", lambda own: own.unlink()),
    ],
)
def test_masks_that_fit_no_image_are_a_line(message, change, masks, tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.png").write_bytes((masks / name / f"{number}.png").read_bytes())
    change(tmp_path / "masks" / "2.png")
    with pytest.raises(DataError, match=message):
        load_data(Config(dataset=str(tmp_path)))


def test_a_class_that_masks_do_not_name_is_a_line(masks):
    with pytest.raises(DataError, match="has the value 1, and data.classes names 1"):
        load_data(Config(dataset=str(masks), data_settings={"classes": ["nothing"]}))


def test_images_with_a_table_of_labels(masks, tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes((masks / "images" / f"{number}.png").read_bytes())
    rows = ["file,brightness", *(f"{number}.png,{number * 1.5}" for number in range(12))]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    config = Config(dataset=str(tmp_path))
    data = load_data(config)
    assert config.task == "regression" and data.labels == ("brightness",) and len(data.train) == 8
    for split in ("train", "test"):
        numbers = [int(name.removesuffix(".png")) * 1.5 for name in data.split_members[split]]
        assert np.allclose(data.objective.truth(getattr(data, split).y)[:, 0], numbers, atol=1e-5)
    (tmp_path / "labels.csv").write_text("file,brightness\n77.png,1")
    with pytest.raises(DataError, match="row 1: '77.png' is no image in this folder"):
        load_data(Config(dataset=str(tmp_path)))


def test_images_in_a_folder_beside_their_table_are_learnt_and_served(tmp_path):
    random, known = np.random.default_rng(0), {}
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    for number in range(24):
        chosen = random.random(2) > 0.5
        pixels = 40 * random.random((6, 6, 3)) + 200 * np.array([*chosen, False])
        Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"{number}.png")
        known[f"{number}.png"] = set(np.array(["red", "green"])[chosen].tolist())
    rows = [f"{name},{';'.join(sorted(labels)) or ';'}" for name, labels in known.items()]
    (root / "labels.csv").write_text("\n".join(["file,colours", *rows]))
    result = train(Config(dataset=str(root), model="mlp", epochs=3, out=str(tmp_path / "runs")))
    assert result.config.task == "multilabel"
    with open(result.folder.splits) as file:
        names = [row["example"] for row in csv.DictReader(file) if row["split"] == "test"]
    predictor = Predictor(result.model)
    right = []
    for name in names:
        own, labels = predictor.predict_image(root / name).label.split(";"), known[name.removeprefix("images/")]
        right += [(colour in own) == (colour in labels) for colour in ("red", "green")]
    assert right and np.mean(right) == pytest.approx(result.metrics["test"]["accuracy"])


def test_a_split_without_a_label_is_refused_before_anything_is_trained(tmp_path):
    rows = [f"{number % 7},{number % 5},{int(number < 2)},{int(number in (1, 3))}" for number in range(40)]
    (tmp_path / "rare.csv").write_text("\n".join(["a,b,u,v", *rows]))
    config = Config(dataset=str(tmp_path / "rare.csv"), data_settings={"label": ["u", "v"]}, out=str(tmp_path))
    assert config.task == "multilabel"
    with pytest.raises(DataError, match=r"rare, \w+ split: no example has a label.*data.split_seed"):
        train(config)


def bits(result):
    return [weight.tobytes() for weight in load_weights(result.model)], result.history()


@pytest.mark.slow
@pytest.mark.parametrize("label", ["price", "tags"])
@pytest.mark.parametrize("method", list(METHODS))
def test_each_method_prunes_each_task_exactly_and_goes_on_bit_for_bit(method, label, table, tmp_path, monkeypatch):
    own = {"loop": "plain", "epochs": 12, "checkpoint_every": "1", "method": method, "settings": {}}
    straight = train(of_table(table, tmp_path / "straight", label, **own))
    config = of_table(table, tmp_path / "interrupted", label, **own)
    logged, calls = History.on_epoch_end, []

    def interrupt(self, epoch, logs=None):
        calls.append(epoch)
        if len(calls) == 8:
            raise KeyboardInterrupt
        logged(self, epoch, logs)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(History, "on_epoch_end", interrupt)
        train(config)
    assert bits(train(config)) == bits(straight)
