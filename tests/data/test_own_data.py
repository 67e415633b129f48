import csv
import io
import json
import re
import sys

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from own_files import ROWS, insects, write_images, write_rows
from PIL import Image

from tfprune import cli
from tfprune.adapters.backend import keras, tf
from tfprune.data._columns import texts
from tfprune.data._splits import three_splits
from tfprune.data._user import user_data_name
from tfprune.data.penguins import CSV
from tfprune.experiments.building import load_data
from tfprune.experiments.experiment import train
from tfprune.exporting.inference import Predictor
from tfprune.exporting.savedmodel import export
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, DataError
from tfprune.utils.fingerprints import fingerprint


@pytest.fixture
def table(tmp_path):
    return write_rows(tmp_path / "insects.csv", insects())


@pytest.fixture
def images(tmp_path):
    """A folder a class, 8 images each, of several sizes and formats."""
    return write_images(tmp_path / "pictures")


def own(path, **settings):
    return Config(dataset=str(path), data_settings=settings)


def by_hand(rows, labels):
    """What the model should be given, computed row by row from the training rows' statistics."""
    lengths = np.array([float(row[0]) for row in rows])
    wings = np.array([float(row[1]) for row in rows])
    colours = np.array([[row[2] == colour for colour in ("blue", "green", "red")] for row in rows], float)
    return lengths, wings, colours, np.array([labels.index(row[3]) for row in rows])


def test_a_table_becomes_standardised_numbers_and_one_hot_texts(table):
    data = load_data(own(table, label="wings"))
    assert data.labels == ("ant", "bee", "fly") and data.target == "wings"
    lengths, digits, colours, y = by_hand(insects(), data.labels)
    train_rows = data.split_members["train"]
    for split, rows in data.split_members.items():
        part = getattr(data, split)
        np.testing.assert_array_equal(part.y, y[rows])
        for column, values in enumerate((lengths, digits)):
            expected = (values[rows] - values[train_rows].mean()) / values[train_rows].std()
            np.testing.assert_allclose(part.x[:, column], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(part.x[:, 2:], colours[rows])


def test_splits_are_disjoint_whole_stratified_and_the_same_for_all_seeds(table):
    data = load_data(own(table, label="wings"))
    assert sorted(np.concatenate(list(data.split_members.values()))) == list(range(ROWS))
    assert data.class_counts() == {
        "train": {"ant": 14, "bee": 14, "fly": 14},
        "validation": {"ant": 3, "bee": 3, "fly": 3},
        "test": {"ant": 3, "bee": 3, "fly": 3},
    }
    again = load_data(own(table, label="wings").replace(seed=5))
    other = load_data(own(table, label="wings", split_seed=1))
    np.testing.assert_array_equal(data.split_members["test"], again.split_members["test"])
    assert set(data.split_members["test"]) != set(other.split_members["test"])


def test_semicolons_byte_order_marks_and_spaces_are_read(tmp_path):
    path = tmp_path / "excel.csv"
    text = "\ufeffsize ; kind\n" + "".join(f" {n} ;{'ab'[n % 2]}\n" for n in range(12))
    path.write_text(text, encoding="utf-8")
    data = load_data(own(path, label="kind"))
    assert data.labels == ("a", "b") and len(data.train) == 8


def test_parquet_and_csv_come_to_the_same(table, tmp_path):
    names = ("length (cm)", "class", "colour", "wings")
    columns = dict(zip(names, zip(*insects(), strict=True), strict=True))
    columns["length (cm)"] = [float(cell) for cell in columns["length (cm)"]]
    columns["class"] = [int(cell) for cell in columns["class"]]
    columns["colour"] = pyarrow.array(columns["colour"]).dictionary_encode()
    cells = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
    pyarrow.parquet.write_table(cells, tmp_path / "i.parquet")
    one, two = (load_data(own(path, label="wings")) for path in (table, tmp_path / "i.parquet"))
    np.testing.assert_array_equal(one.train.x, two.train.x)
    assert own(tmp_path / "i.parquet", label="wings").data_settings["examples"] == ROWS


def test_missing_cells_are_refused_dropped_or_imputed(tmp_path):
    path = write_rows(tmp_path / "holes.csv", insects(missing=6))
    with pytest.raises(DataError, match=r"of 60 rows these columns miss some: length \(cm\) \(6\); drop"):
        load_data(own(path, label="wings"))
    dropped = load_data(own(path, label="wings", missing="drop"))
    assert sum(map(len, (dropped.train, dropped.validation, dropped.test))) == ROWS - 6
    assert dropped.warnings == ("6 of 60 rows are left out: with missing cells",)
    assert min(min(rows) for rows in dropped.split_members.values()) == 6  # rows keep the file's numbers
    imputed = load_data(own(path, label="wings", missing="impute"))
    assert imputed.warnings == ("missing cells are filled in: length (cm) (6)",)
    rows = insects(missing=6)
    present = np.array([float(rows[row][0]) for row in imputed.split_members["train"] if row >= 6])
    expected = (np.median(present) - present.mean()) / present.std()
    filled = imputed.train.x[imputed.split_members["train"] < 6, 0]
    assert len(filled) and filled == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "--label must name the column of labels. Choices: length"),
        ({"label": "wing"}, "label names no column 'wing': did you mean wings"),
        ({"label": "wings", "ignore": ["color"]}, "data.ignore names no column 'color': did you mean colour"),
        ({"label": "wings", "ignore": ["wings"]}, "data.ignore names 'wings', which is the label"),
        ({"label": "wings", "labl": 1}, "data of the kind table have no setting 'labl': did you mean label"),
        ({"label": "wings", "test": 0.6}, "data.validation and data.test must be no more than 0.5 together"),
        ({"label": "wings", "missing": "guess"}, "unknown data.missing 'guess'"),
        ({"label": "wings", "validation": 0}, r"data.validation must be a fraction in \(0, 1\)"),
    ],
)
def test_wrong_settings_of_a_table_are_named(table, settings, message):
    with pytest.raises(ConfigError, match=message):
        own(table, **settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "there is no header"),
        ("a,b,a\n", "column 'a' is there more than once"),
        ("a,b\n1,x\n2\n", "this is no table that can be read .*Expected 2 columns, got 1"),
        ("a,b\n" + "1,x\n" * 9, "all labels in b are 'x'"),
        ("b\n" + "x\ny\n" * 9, "there is no column beside the label 'b'"),
        ("a,b\n" + "1,x\n" * 9 + "1,y\n", "class 'y' has 1 examples, at least 3 are needed"),
        ("a,b\n" + "1,x\n2,y\n" * 9 + "inf,x\n", "column a, row 19: it must be a finite number"),
        ("a,b\n" + "1,x\n2,y\n" * 9 + "1.2.3,x\n", "column a, row 19: '1.2.3' is no number, as most cells"),
        ("a,c,b\n" + "1,,x\n2,,y\n" * 9, "column c is empty; leave it out with --set data.ignore=c"),
        ("a,b\n" + "".join(f"name{n},{'xy'[n % 2]}\n" for n in range(150)), "column a has 150 different texts"),
        ("a,b\n" + "".join(f"1,w{n / 7}\n" for n in range(99)), "b has 99 different values in 99 examples"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        load_data(own(tmp_path / "bad.csv", label="b"))
    assert "\n" not in str(caught.value) and "bad.csv" in str(caught.value)


def test_what_is_no_data_is_said(tmp_path):
    (tmp_path / "notes.docx").write_text("")
    for name, message in (("absent.csv", "there is no such file"), ("notes.docx", "data must be a folder of images")):
        with pytest.raises(DataError, match=message):
            own(tmp_path / name, label="x")
    (tmp_path / "latin.csv").write_bytes(b"gr\xf6\xdfe,art\n1,x\n")
    with pytest.raises(DataError, match=r"this is not UTF-8 text.* --set data.encoding=cp1252"):
        own(tmp_path / "latin.csv", label="art")


def test_numbers_that_are_names_can_be_read_as_categories(table):
    data = load_data(own(table, label="wings", categories=["class"]))
    assert data.input_shape == (1 + 5 + 3,)


@pytest.mark.parametrize("digits", ["{n}_0", "2024_{n}", "\uff11\uff12"])
def test_what_only_python_takes_for_a_number_is_a_category(tmp_path, digits):
    rows = [(digits.format(n=n % 3 + 1), n, "xy"[n % 2]) for n in range(30)]
    data = load_data(own(write_rows(tmp_path / "n.csv", rows, header=("a", "n", "b")), label="b"))
    assert data.input_shape == (len({row[0] for row in rows}) + 1,)


def test_the_column_behind_a_comma_at_the_end_of_all_lines_is_left_out(tmp_path):
    path = tmp_path / "ending.csv"
    path.write_text("a,b,\n" + "1,x,\n2,y,\n" * 9)
    data = load_data(own(path, label="b"))
    assert data.input_shape == (1,)
    assert any("a column that has no name and no cells is left out" in own for own in data.warnings)
    path.write_text("a,b,\n" + "1,x,7\n2,y,\n" * 9)
    assert load_data(own(path, label="b", missing="impute")).input_shape == (2,)


def test_labels_that_are_numbers_stay_in_their_order(tmp_path):
    path = write_rows(tmp_path / "n.csv", [(n, n % 12) for n in range(60)], header=("a", "b"))
    assert load_data(own(path, label="b")).labels == tuple(map(str, range(12)))


def test_uneven_classes_and_repeated_rows_are_pointed_out(tmp_path):
    path = write_rows(tmp_path / "n.csv", [(n % 5, "x" if n % 6 else "y") for n in range(60)], header=("a", "b"))
    data = load_data(own(path, label="b"))
    assert data.imbalance() == (
        "classes are uneven: 'y' has 7 of 42 training examples and 'x' 35; who always answers 'x' is right in 80.0 % "
        "of the test split"
    )
    assert data.warnings == ("10 of 10 rows of the test split equal a training row",)
    assert load_data(Config(dataset="penguins")).imbalance() is None


def test_run_ids_follow_the_content_and_not_the_place(table, tmp_path):
    config = own(table, label="wings")
    assert config.run_id.startswith("insects-dynamic-seed0-")
    moved = write_rows(tmp_path / "elsewhere" / "insects.csv", insects())
    assert own(moved, label="wings").run_id == config.run_id
    assert own(table, label="wings", test=0.2).run_id != config.run_id
    write_rows(table, [*insects(), (1, 2, "red", "ant")])
    assert own(table, label="wings").run_id != config.run_id


def test_a_stored_config_needs_no_data_and_notices_other_data(table):
    stored = json.loads(json.dumps(own(table, label="wings").to_dict()))
    write_rows(table, [*insects(), (1, 2, "red", "ant")])
    config = Config.from_dict(stored)
    with pytest.raises(DataError, match="the content has changed since these settings were made"):
        load_data(config)
    table.unlink()
    assert Config.from_dict(stored).run_id == config.run_id and config.to_dict() == stored
    with pytest.raises(DataError, match="there is no such file"):
        load_data(config)


def test_registered_data_sets_take_no_data_settings():
    with pytest.raises(ConfigError, match="data set penguins has no settings, got label"):
        Config(dataset="penguins", data_settings={"label": "species"})


def test_another_data_set_starts_from_its_own_settings(table):
    config = own(table, label="wings").replace(dataset="penguins", model="mlp", epochs=9)
    assert config.data_settings == {} and config.run_id.startswith("penguins-")


def test_names_of_own_data_are_fit_for_files():
    assert user_data_name("/a/b/My data (2).csv") == "My_data_2"
    assert user_data_name("tfds:a/b:1.0.0") == "a_b"
    assert user_data_name("/") == "data"


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tfprune", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capsys.readouterr()


def test_a_table_is_trained_exported_and_its_raw_rows_are_answered(tmp_path, monkeypatch, capsys):
    path = write_rows(tmp_path / "insects.csv", insects(missing=6))
    code, out, err = call(
        monkeypatch, capsys, "train", "--dataset", path, "--label", "wings", "--missing", "impute",
        "--epochs", 40, "--set", "data.ignore=class", "--out", tmp_path / "runs",
    )  # fmt: skip
    assert code == 0, err
    assert "Warning: insects: missing cells are filled in: length (cm) (6)" in err
    assert f"tfprune compare --dataset {path} --label wings --missing impute --set 'data.ignore=[\"class\"]'" in out
    (run,) = (folder for folder in (tmp_path / "runs").iterdir() if folder.name.startswith("insects-"))
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] == 1.0
    assert metrics["data"]["classes"]["test"] == {"ant": 3, "bee": 3, "fly": 3}
    with open(run / "splits.csv") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["example"]) for row in rows) == list(range(ROWS))

    answers = [answer.label for answer in Predictor(run / "model").predict_table(path)]
    assert np.mean([answer == row[3] for answer, row in zip(answers, insects(), strict=True)]) > 0.9
    served = tf.saved_model.load(str(run / "model")).signatures["serving_default"]
    answer = served(length_cm=tf.constant([20.0, np.nan], tf.float64), colour=tf.constant(["blue", ""]))
    assert answer["label"].numpy()[0] == b"fly"
    said = call(monkeypatch, capsys, "predict", run, path)
    cells = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(null_values=["NA"]))
    pyarrow.parquet.write_table(cells, tmp_path / "insects.parquet")
    assert call(monkeypatch, capsys, "predict", run, tmp_path / "insects.parquet") == said and said[0] == 0
    write_rows(tmp_path / "new.csv", [(20, "pink")], header=("length (cm)", "colour"))
    code, _, err = call(monkeypatch, capsys, "predict", run, tmp_path / "new.csv")
    assert code == 2 and "colour must be one of blue, green, red" in err


def test_columns_that_differ_in_capitals_alone_are_exported(tmp_path):
    path = write_rows(tmp_path / "t.csv", [(n, -n, n % 7, "ab"[n % 2]) for n in range(40)], ("a", "A", "self", "kind"))
    data = load_data(own(path, label="kind"))
    model = keras.Sequential([keras.layers.Input(data.input_shape), keras.layers.Dense(2)])
    export(model, data, {}, tmp_path / "model")
    answers = Predictor(tmp_path / "model").predict_table(path)
    expected = data.objective.answers(model(data.test.x).numpy())
    rows = data.split_members["test"]
    np.testing.assert_allclose([answers[row].probabilities["a"] for row in rows], expected[:, 0], atol=1e-6)


@pytest.mark.slow
def test_the_penguins_own_file_is_a_table_like_any_other(tmp_path):
    config = Config(
        dataset=str(CSV), data_settings={"label": "species", "missing": "drop"}, epochs=30, out=str(tmp_path)
    )
    result = train(config)
    assert result.metrics["test"]["accuracy"] > 0.9
    assert train(config).folder.root == result.folder.root


def test_a_folder_of_images_is_split_and_made_square(images):
    config = own(images)
    assert (config.data_settings["side"], config.data_settings["channels"]) == (32, 3) and config.model == "resnet8"
    data = load_data(config)
    assert data.labels == ("dark", "light") and data.train.x.shape == (12, 32, 32, 3)
    assert data.class_counts()["test"] == {"dark": 1, "light": 1}
    for split, names in data.split_members.items():
        part = getattr(data, split)
        for name, pixels, label in zip(names, part.x, part.y, strict=True):
            assert name.split("/")[0] == data.labels[label]
            assert (pixels.mean() > 125) == label
    assert "dark/deeper/0.png" in np.concatenate(list(data.split_members.values()))


def test_folders_of_splits_are_taken_as_they_are(tmp_path):
    write_images(tmp_path / "p" / "train")
    write_images(tmp_path / "p" / "val", count=2)
    data = load_data(own(tmp_path / "p"))
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 4, 2)
    assert all(name.startswith("val/") for name in data.split_members["validation"])


@pytest.mark.parametrize(
    ("side", "mode", "model"), [(28, "L", "lenet"), (48, "RGB", "resnet8"), (64, "RGB", "flowers_resnet")]
)
def test_images_of_one_size_keep_it_and_get_a_model_of_that_size(tmp_path, side, mode, model):
    for label in "ab":
        (tmp_path / "p" / label).mkdir(parents=True)
        for number in range(3):
            Image.new(mode, (side, side), number).save(tmp_path / "p" / label / f"{number}.png")
    config = own(tmp_path / "p")
    assert config.data_settings["side"] == side and config.model == model
    assert config.data_settings["channels"] == len(mode.replace("L", "."))


def test_files_that_are_no_images_are_named_or_skipped(images):
    (images / "dark" / "zz.png").write_bytes(b"no image")
    (images / "dark" / "notes.txt").write_text("ignored")
    with pytest.raises(DataError, match=r"dark/zz.png: this is no image that can be read \(.*--set data.broken=skip"):
        load_data(own(images))
    data = load_data(own(images, broken="skip"))
    assert data.warnings == ("1 files that cannot be read as images are left out",)
    assert len(data.train) == 12


def test_images_that_are_not_read_are_counted(images):
    (images / "dark" / "a.webp").write_bytes(b"of another format")
    (images / "stray.png").write_bytes(b"in no folder of a class")
    (images / "dark" / "notes.txt").write_text("of no format")
    (said,) = load_data(own(images)).warnings
    assert "in no folder of a class, are left out: 1 .png, 1 .webp; save them as PNG" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: [path.unlink() for path in (root / "dark").rglob("*.*")], "dark: there is no image in it"),
        (lambda root: (root / "light").rename(root.parent / "light"), "at least two folders of images are needed"),
        (lambda root: (root / "light").rename(root / "train"), "'dark' is no split, and stands beside folders"),
    ],
)
def test_folders_that_are_no_classes_are_refused(images, change, message):
    change(images)
    with pytest.raises(DataError, match=message):
        own(images)


def test_an_image_more_or_another_content_is_noticed(images):
    before = own(images).run_id
    (images / "dark" / "1.jpg").write_bytes((images / "dark" / "4.jpg").read_bytes())
    assert own(images).run_id != before


def test_images_are_trained_exported_and_answered_from_files(images, tmp_path):
    result = train(own(images).replace(epochs=3, out=str(tmp_path / "runs"), model="lenet"))
    predictor = Predictor(result.model)
    assert predictor.predict_image(images / "light" / "3.png").label in ("dark", "light")


def write_arrays(path, **arrays):
    np.savez(path, **arrays)
    return path


def numbers(count=60, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(count) % 3
    return random.normal(5 * y[:, None], 1, (count, 4)), np.array(["u", "v", "w"])[y]


X, Y = numbers()
IMAGES = np.zeros((60, 6, 4, 1), np.uint8)


def test_arrays_are_standardised_and_answered(tmp_path):
    x, y = numbers()
    config = own(write_arrays(tmp_path / "rows.npz", x=x, y=y)).replace(epochs=100, out=str(tmp_path / "runs"))
    data = load_data(config)
    np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train.x.std(axis=0), 1, atol=1e-6)
    result = train(config)
    np.save(tmp_path / "new.npy", x)
    answers = [answer.label for answer in Predictor(result.model).predict_array(tmp_path / "new.npy")]
    assert np.mean(np.array(answers) == y) > 0.95


def test_rows_of_bytes_are_standardised_too(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 9), np.uint8)
    data = load_data(own(write_arrays(tmp_path / "rows.npz", x=pixels, y=Y)))
    np.testing.assert_allclose(data.train.x.std(axis=0), 1, atol=1e-5)


def test_numbers_that_float32_rounds_away_are_said(tmp_path):
    seconds = np.stack([np.arange(60), 1.7e9 + np.arange(60)], axis=1)
    (said,) = load_data(own(write_arrays(tmp_path / "rows.npz", x=seconds, y=Y))).warnings
    assert said.startswith("x: float32 rounds column 1 by 100.0 % of its standard deviation")
    assert not load_data(own(write_arrays(tmp_path / "rows.npz", x=seconds % 1.7e9, y=Y))).warnings


def test_arrays_are_answered_as_they_were_trained_on(tmp_path):
    """Grey images have no axis of channels; what is no image of the training's kind is one line."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 6, 4), np.uint8)
    path = write_arrays(tmp_path / "grey.npz", x=pixels, y=Y)
    result = train(own(path).replace(method="unpruned", epochs=1, out=str(tmp_path / "runs")))
    predictor = Predictor(result.model)
    assert len(predictor.predict_array(path)) == 60
    for bad in (pixels / 255, pixels.astype(str)):
        with pytest.raises(DataError, match="examples must be uint8, as those of the training, got"):
            predictor.predict_array(write_arrays(tmp_path / "bad.npz", x=bad))


def test_arrays_of_splits_and_grey_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 12), np.uint8)
    path = write_arrays(
        tmp_path / "p.npz", x_train=pixels[:30], y_train=np.arange(30) % 2, x_test=pixels[30:], y_test=np.arange(10) % 2
    )
    config = own(path)
    assert config.model == "lenet" and config.data_settings["shape"] == [12, 12, 1]
    data = load_data(config)
    assert (len(data.train), len(data.validation), len(data.test)) == (26, 4, 10)
    np.testing.assert_array_equal(data.test.x[..., 0], pixels[data.split_members["test"]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X}, "the file must hold x and y, or x_train and y_train .* it holds a"),
        ({"x": X, "y": Y[:-1]}, "x has 60 examples and y has 59"),
        ({"x": X[:, 0], "y": Y}, "examples must be numbers of two dimensions or more, got float64 of 1"),
        ({"x": X * np.nan, "y": Y}, "x has values that are not finite"),
        ({"x": X, "y": np.eye(60)}, r"y must hold one class an example, got shape \(60, 60\); y.argmax\(axis=1\)"),
        (
            {"x": X, "y": np.where(X[:, 0] > 0, np.nan, 1)},
            "column y has 'nan' among its labels, and task regression needs",
        ),
        ({"x": X, "y": np.array([None] * 60)}, r"y holds Python objects, .* y.astype\(str\)"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, 1:], "y_test": Y}, r"examples of x_test are \(3,\), those of"),
        (
            {"x_train": IMAGES, "y_train": Y, "x_test": IMAGES / 255, "y_test": Y},
            "examples of x_test are float64, those of the training uint8; save both alike",
        ),
    ],
)
def test_bad_arrays_are_refused_in_one_line(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load_data(own(write_arrays(tmp_path / "bad.npz", **arrays)))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match="cannot be read as .npz"):
        own(tmp_path / "bad.npz")


def store(folder, name, features, splits):
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name, version="1.0.0", features=features, data_dir=folder,
        split_datasets={split: [(f"{split}{n}", row) for n, row in enumerate(rows)] for split, rows in splits.items()},
    )  # fmt: skip


def test_images_of_tfds_by_name(copies):
    config = Config(dataset="tfds:cifar10:3.0.2", data_dir=str(copies))
    assert config.run_id.startswith("cifar10-dynamic-seed0-") and config.model == "resnet8"
    data = load_data(config)
    assert (len(data.train), len(data.validation), len(data.test)) == (170, 30, 40)
    assert data.labels[0] == "airplane" and data.input_shape == (32, 32, 3)


def test_rows_of_tfds_by_name(tmp_path):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "measured": {"size": np.float32, "shape": tfds.features.Tensor(shape=(2,), dtype=np.float32)},
            "colour": tfds.features.Text(),
            "kind": tfds.features.ClassLabel(names=["moth", "wasp"]),
        }
    )
    rows = [
        {"measured": {"size": n % 7, "shape": [n, -n]}, "colour": "ab"[n % 2], "kind": ("moth", "wasp")[n % 2]}
        for n in range(30)
    ]
    store(tmp_path, "insects", features, {"train": rows[:20], "test": rows[20:]})
    with pytest.raises(ConfigError, match="--label must name the feature that holds the labels. Choices: colour, kind"):
        Config(dataset="tfds:insects", data_dir=str(tmp_path))
    config = Config(dataset="tfds:insects", data_dir=str(tmp_path), data_settings={"label": "kind"})
    data = load_data(config)
    assert data.labels == ("moth", "wasp") and data.input_shape == (5,)
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 10)
    assert set(data.inputs["serving_default"].signature) == {
        "colour", "measured_shape_0", "measured_shape_1", "measured_size"
    }  # fmt: skip


def test_features_of_tfds_that_are_no_columns_are_named_and_can_be_left_out(tmp_path):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "size": np.float32,
            "words": tfds.features.Sequence({"length": np.int64}),
            "sound": tfds.features.Tensor(shape=(), dtype=np.object_),
            "label": tfds.features.ClassLabel(names=["moth", "wasp"]),
        }
    )
    rows = [{"size": n, "words": {"length": list(range(n))}, "sound": b"\xff" * 3, "label": n % 2} for n in range(20)]
    store(tmp_path, "talks", features, {"train": rows})
    config = Config(dataset="tfds:talks", data_dir=str(tmp_path), data_settings={"label": "label"})
    for ignored, named in (((), "words/length holds arrays"), (("words/length",), "sound holds bytes")):
        with pytest.raises(
            DataError, match=f"feature {named} .* leave it out with --set data.ignore={named.split()[0]}"
        ):
            load_data(config.replace(data_settings={**config.data_settings, "ignore": ignored}))
    settings = {**config.data_settings, "ignore": ("words/length", "sound")}
    assert load_data(config.replace(data_settings=settings)).input_shape == (1,)


def test_a_name_that_tfds_does_not_know_is_said(tmp_path):
    with pytest.raises(DataError, match="TFDS knows no data set 'nonsense', and .* holds none"):
        Config(dataset="tfds:nonsense", data_dir=str(tmp_path))


def test_three_splits_take_what_is_given():
    y = np.arange(40) % 2
    given = {"train": np.arange(20), "validation": np.arange(20, 30), "test": np.arange(30, 40)}
    splits = three_splits(y, given, ("a", "b"), validation=0.2, test=0.2, seed=0)
    assert {name: sorted(own) for name, own in splits.items()} == {name: list(own) for name, own in given.items()}
    splits = three_splits(y, given | {"test": np.arange(0)}, ("a", "b"), validation=0.2, test=0.2, seed=0)
    assert sorted([*splits["train"], *splits["test"]]) == list(range(20)) and len(splits["test"]) == 4


def test_images_of_tfds_without_a_label_are_left_out(tmp_path):
    """As in a test split whose labels are kept secret: another one is drawn."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(names=["moth", "wasp"])}
    )
    images = [{"image": np.full((8, 8, 1), n, np.uint8), "label": n % 2} for n in range(40)]
    store(tmp_path, "secret", features, {"train": images, "test": [own | {"label": -1} for own in images[:10]]})
    data = load_data(Config(dataset="tfds:secret", data_dir=str(tmp_path)))
    assert (len(data.train), len(data.validation), len(data.test)) == (28, 6, 6)
    assert data.warnings == ("images without a label are left out: 10 of test",)


def test_fingerprints_change_with_content_and_place(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"1"), two.write_bytes(b"1")
    assert fingerprint([one]) == fingerprint([two])
    assert fingerprint([one], tmp_path) != fingerprint([two], tmp_path)
    two.write_bytes(io.BytesIO(b"2").read())
    assert fingerprint([one]) != fingerprint([two])


def test_several_columns_of_labels_are_named_with_commas_too(tmp_path):
    path = write_rows(tmp_path / "i.csv", [(n, n % 2, n % 3 % 2, n) for n in range(40)], ("x", "a", "b, c", "d"))
    assert own(path, label="a,d").data_settings["label"] == own(path, label=["a", "d"]).data_settings["label"]
    assert own(path, label="b, c").data_settings["label"] == "b, c"  # the name of one
    with pytest.raises(ConfigError, match="label names no column 'e'"):
        own(path, label="a,e")


@pytest.mark.parametrize("column", [0, 2])
def test_a_column_with_no_cell_in_the_training_split_is_one_line(tmp_path, column):
    rows = [list(row) for row in insects()]
    train = set(load_data(own(write_rows(tmp_path / "whole.csv", rows), label="wings")).split_members["train"].tolist())
    for number in train:
        rows[number][column] = ""
    path = write_rows(tmp_path / "holes.csv", rows)
    name = ("length (cm)", "class", "colour")[column]
    said = f"column {re.escape(name)} has no cell in the training split; .* --set data.ignore={re.escape(name)}"
    with pytest.raises(DataError, match=said):
        load_data(own(path, label="wings", missing="impute"))


def test_a_number_that_the_training_split_has_one_of_is_only_moved(tmp_path):
    """The mean of a hundred times 0.1 is another number: nothing is divided by that difference."""
    number, label = [0.1] * 200, ["ab"[n % 2] for n in range(200)]
    write_rows(path := tmp_path / "once.csv", zip(number, range(200), label, strict=True), ("size", "n", "kind"))
    (held, *_) = load_data(own(path, label="kind")).split_members["test"]
    number[held] = 0.5
    write_rows(path, zip(number, range(200), label, strict=True), ("size", "n", "kind"))
    assert load_data(own(path, label="kind")).test.x[:, 0].max() == pytest.approx(0.4)


def test_numbers_of_all_types_of_parquet_are_read(tmp_path):
    """Whole numbers beyond 2^53 to the nearest float, numbers of 16 bits; NaN and "" are missing in texts too."""
    long, missing = 10**18 + np.arange(60) * 10**9, np.where(np.arange(60) == 7, np.nan, np.arange(60) % 3)
    columns = {"long": long, "half": np.arange(60.0).astype(np.float16), "zip": missing, "kind": missing.astype("f2")}
    columns["word"] = ["", *["ab"[n % 2] for n in range(59)]]
    path = tmp_path / "types.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(DataError, match=r"miss some: kind \(1\), zip \(1\), word \(1\)"):
        load_data(own(path, label="kind", categories=("zip",)))
    data = load_data(own(path, label="kind", categories=("zip",), missing="drop"))
    assert data.labels == ("0", "1", "2") and data.input_shape == (2 + 3 + 2,)
    np.testing.assert_allclose(data.train.x[:, 0], data.train.x[:, 1], rtol=1e-3)


@pytest.mark.parametrize("value", [float("inf"), 1e300])
def test_numbers_beyond_all_whole_ones_are_texts_of_their_own(tmp_path, value):
    column = pyarrow.chunked_array([[1.0, 2.0, value, None]])
    assert texts(column, "a").tolist()[3] is None and float(texts(column, "a")[2]) == value
    assert texts(column.slice(0, 2), "a").tolist() == ["1", "2"]


def test_masks_of_pictures_that_are_left_out_are_not_read(tmp_path):
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "own" / folder).mkdir(parents=True)
    for number in range(20):
        Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / f"own/images/{number:02}.png")
        Image.fromarray(random.integers(0, 2, (40, 40), np.uint8)).save(tmp_path / f"own/masks/{number:02}.png")
    whole = load_data(own(tmp_path / "own"))
    (tmp_path / "own/images/07.png").write_bytes(b"no picture")
    data = load_data(own(tmp_path / "own", broken="skip"))
    assert sum(map(len, (data.train, data.validation, data.test))) == 19
    assert sum(map(len, (whole.train, whole.validation, whole.test))) == 20 and data.labels == whole.labels
