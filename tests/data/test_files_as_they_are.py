"""Files as programs other than this one write them: read to the right values, or refused with the remedy."""

import contextlib
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from tfprune import cli
from tfprune.adapters.backend import tf
from tfprune.data._tfds import decode, unfit
from tfprune.experiments.building import load_data
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, DataError

N = 24


def own(path, **settings):
    return Config(dataset=str(path), data_settings=settings)


def values_of(data):
    """The one column as it was before it was standardised: its order and ratios are what can be compared."""
    x = np.concatenate([data.train.x, data.validation.x, data.test.x])[:, 0]
    rows = np.concatenate([data.split_members[name] for name in ("train", "validation", "test")])
    return x[np.argsort(rows)]


def written(path, cells, delimiter=",", encoding="utf-8", name="size"):
    rows = [f"{name}{delimiter}kind", *(f"{cell}{delimiter}{'ab'[n % 2]}" for n, cell in enumerate(cells))]
    path.write_text("\n".join(rows) + "\n", encoding=encoding)
    return path


def test_decimal_commas_are_noticed_and_read_when_said(tmp_path):
    numbers = [1000 + n + n / 8 for n in range(N)]
    plain = written(tmp_path / "p.csv", numbers)
    german = written(tmp_path / "g.csv", [f"{n:,.3f}".translate({44: ".", 46: ","}) for n in numbers], ";")
    with pytest.raises(DataError, match=r"column size has numbers with a comma, such as '1.000,000'.* data.decimal=,"):
        load_data(own(german, label="kind"))
    read = load_data(own(german, label="kind", decimal=","))
    np.testing.assert_allclose(values_of(read), values_of(load_data(own(plain, label="kind"))), rtol=1e-5)


def test_points_are_thousands_only_where_thousands_are(tmp_path):
    """Dates among decimal commas are no numbers, and neither is a decimal point."""
    days = written(tmp_path / "d.csv", [f"{n % 28 + 1:02}.02.2024" for n in range(N)], ";")
    assert load_data(own(days, label="kind", decimal=",")).input_shape == (min(N, 28),)
    mixed = written(tmp_path / "m.csv", ["0.125", *(f"{n},5" for n in range(1, N))], ";")
    with pytest.raises(DataError, match="column size, row 1: '0.125' is no number, as most cells of the column are"):
        load_data(own(mixed, label="kind", decimal=","))


@pytest.mark.parametrize("form", ["{}%", "$ {}.5", "{},5 €"])
def test_numbers_with_a_sign_are_no_words_unless_that_is_said(form, tmp_path):
    signed = written(tmp_path / "s.csv", [form.format(n) for n in range(N)], ";")
    with pytest.raises(DataError, match="column size has numbers with a sign beside them, such as .*categories=size"):
        load_data(own(signed, label="kind"))
    read = load_data(own(signed, label="kind", categories=("size",)))
    assert read.input_shape == (N,)
    words = written(tmp_path / "w.csv", [f"{n} of {n}" for n in range(N)], ";")
    assert load_data(own(words, label="kind")).input_shape == (N,)


@pytest.mark.parametrize("share", [2, 12])  # few of the cells, and half of them
def test_marks_of_missing_cells_are_noticed_and_read_when_said(tmp_path, share):
    cells = ["?" if n < share else n for n in range(N)]
    path, empty = (
        written(tmp_path / "q.csv", cells),
        written(tmp_path / "e.csv", ["" if c == "?" else c for c in cells]),
    )
    with pytest.raises(DataError, match=r"column size has '\?' among its numbers.*data.missing_marks=\? and --missing"):
        load_data(own(path, label="kind"))
    read = load_data(own(path, label="kind", missing="impute", missing_marks="?,N/A"))
    np.testing.assert_array_equal(values_of(read), values_of(load_data(own(empty, label="kind", missing="impute"))))


def test_a_mark_among_words_is_read_as_a_word_and_said(tmp_path):
    data = load_data(own(written(tmp_path / "w.csv", ["red", "?", "blue"] * 8), label="kind"))
    assert any("column size has '?' as a category" in line for line in data.warnings)
    data = load_data(own(tmp_path / "w.csv", label="kind", missing="drop", missing_marks=["?"]))
    assert sum(map(len, (data.train, data.validation, data.test))) == 16 and data.input_shape == (2,)


@pytest.mark.parametrize(("encoding", "likely"), [("cp1252", "cp1252"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16")])
@pytest.mark.parametrize("place", ["header", "cells"])
def test_other_encodings_are_noticed_and_read_when_said(tmp_path, encoding, likely, place):
    name, cells = ("größe", range(N)) if place == "header" else ("size", ["grün", "blau"] * 12)
    path = written(tmp_path / "t.csv", cells, encoding=encoding, name=name)
    with pytest.raises(DataError, match=f"this is not UTF-8 text.*--set data.encoding={likely}, or save it as UTF-8"):
        load_data(own(path, label="kind"))
    data = load_data(own(path, label="kind", encoding=encoding))
    assert list(data.inputs["serving_default"].columns.values()) == ([name] if place == "header" else [])
    same = written(tmp_path / "u.csv", cells, name=name)
    np.testing.assert_array_equal(data.train.x, load_data(own(same, label="kind")).train.x)


def test_an_encoding_that_is_none_is_named(tmp_path):
    path = written(tmp_path / "t.csv", range(N))
    with pytest.raises(ConfigError, match="data.encoding must be an encoding, such as"):
        own(path, label="kind", encoding="windows")


def test_what_stands_in_quotes_or_between_tabs_is_no_separator(tmp_path):
    rows = "".join(f"{n};{'ab'[n % 2]}\n" for n in range(N))
    (tmp_path / "q.csv").write_text('"size, in cm, wide";kind\n' + rows)
    (tmp_path / "t.tsv").write_text("size, in cm, wide\tkind\n" + rows.replace(";", "\t"))
    for name in ("q.csv", "t.tsv"):
        data = load_data(own(tmp_path / name, label="kind"))
        assert data.inputs["serving_default"].columns == {"size_in_cm_wide": "size, in cm, wide"}


def test_arrays_of_objects_are_refused_with_the_remedy(tmp_path):
    y = np.array(["cat", "dog"] * 12, object)
    np.savez(tmp_path / "a.npz", x=np.zeros((N, 3), np.float32), y=y)
    with pytest.raises(DataError, match=r"a.npz: y holds Python objects.*: y.astype\(str\) for labels") as caught:
        own(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)
    np.savez(tmp_path / "a.npz", x=np.zeros((N, 3), np.float32), y=y.astype(str))
    assert load_data(own(tmp_path / "a.npz")).labels == ("cat", "dog")


COLOURS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8))
KINDS = {
    "grey BMP": ("L", "BMP"),
    "BMP": ("RGB", "BMP"),
    "GIF": ("P", "GIF"),
    "grey GIF": ("L", "GIF"),
    "PNG with a palette": ("P", "PNG"),
    "PNG with alpha": ("LA", "PNG"),
    "bits": ("1", "PNG"),
    "grey JPEG": ("L", "JPEG"),
}


def stored(mode, kind):
    file = io.BytesIO()
    COLOURS.convert(mode).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", KINDS)
def test_images_of_all_kinds_have_the_colours_that_pillow_sees(name, channels):
    content = stored(*KINDS[name])
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB"), int)
    pixels = decode(tf.constant(content), channels).numpy().astype(int)
    assert pixels.shape == (12, 12, channels) and unfit(io.BytesIO(content)) == ""
    np.testing.assert_allclose(pixels.squeeze(), expected, atol=3 if "JPEG" in name else 1)  # they round differently


def test_a_folder_of_grey_bitmaps_is_read(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for n in range(8):
            (tmp_path / label / f"{n}.bmp").write_bytes(stored("L", "BMP"))
    data = load_data(own(tmp_path))
    assert data.input_shape == (12, 12, 1)
    np.testing.assert_allclose(data.train.x[0, ..., 0], np.asarray(COLOURS.convert("L"), int), atol=1)


@pytest.mark.parametrize("mode", ["P", "1"])
def test_a_bitmap_with_a_palette_is_refused_and_not_read_as_grey(tmp_path, mode):
    for label in "ab":
        (tmp_path / label).mkdir()
        for n in range(8):
            (tmp_path / label / f"{n}.bmp").write_bytes(stored(mode, "BMP"))
    with pytest.raises(DataError, match=r"a BMP of one bit or with a palette of colours, .*: save it as PNG"):
        load_data(own(tmp_path, side=12, channels=3))


def folder_of(tmp_path, content):
    for label in "ab":
        (tmp_path / label).mkdir(parents=True)
        for n in range(8):
            (tmp_path / label / f"{n}.jpg").write_bytes(content if n < 2 else stored("RGB", "JPEG"))
    return tmp_path


def test_images_that_are_marked_to_be_turned_are_said(tmp_path):
    orientation, file = Image.Exif(), io.BytesIO()
    orientation[0x0112] = 6
    COLOURS.save(file, "JPEG", exif=orientation)
    data = load_data(own(folder_of(tmp_path / "turned", file.getvalue()), side=12))
    assert [
        line for line in data.warnings if line.startswith("4 of 16 images are stored lying and marked to be turned")
    ]
    upright = load_data(own(folder_of(tmp_path / "upright", stored("RGB", "JPEG")), side=12))
    assert not upright.warnings


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (1, "L")])
def test_a_jpeg_of_printing_colours_is_read_right_or_is_one_line(tmp_path, channels, mode):
    root = folder_of(tmp_path / "p", stored("CMYK", "JPEG"))
    if channels == 1:  # which TensorFlow cannot make of four
        with pytest.raises(DataError, match=r"a/0.jpg .and 3 more.: .* read all in colour with --set data.channels=3"):
            load_data(own(root, side=12, channels=1))
        return
    expected = np.asarray(Image.open(io.BytesIO(stored("CMYK", "JPEG"))).convert(mode), int)
    data = load_data(own(root, side=12, channels=3))
    pixels = next(
        x for x, name in zip(data.train.x, data.split_members["train"], strict=True) if name[2:] in ("0.jpg", "1.jpg")
    )
    np.testing.assert_allclose(pixels.astype(int), expected, atol=3)


@pytest.mark.parametrize(
    ("name", "cells", "said"),
    [
        ("", range(N), "column '' numbers the rows.*of the file .to_csv with index=False"),
        ("Unnamed: 0", range(1, N + 1), "column 'Unnamed: 0' numbers the rows.*with --set data.ignore='Unnamed: 0'"),
        ("Unnamed: 0", [n % 5 for n in range(N)], None),
        ("size", range(N), None),
    ],
)
def test_a_column_of_row_numbers_is_said(tmp_path, name, cells, said):
    rows = [f"{name},width,kind", *(f"{cell},{n * 7 % 5},{'ab'[n % 2]}" for n, cell in enumerate(cells))]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    lines = [line for line in load_data(own(tmp_path / "t.csv", label="kind")).warnings if "numbers the rows" in line]
    assert (re.match(said, *lines) is not None) if said else not lines
    if name.startswith("Unnamed"):
        data = load_data(own(tmp_path / "t.csv", label="kind", ignore=name))
        assert data.input_shape == (1,) and not any("numbers the rows" in line for line in data.warnings)


def test_predict_reads_a_table_as_the_training_did(tmp_path, capsys, monkeypatch):
    """A German table: decimal commas, marks of missing cells, another encoding; asked for on the command line."""
    cells = [f"{n % 2 + n / 1000:.3f}".replace(".", ",") if n % 8 else "k.A." for n in range(4 * N)]
    path = written(tmp_path / "g.csv", cells, ";", "cp1252", name="größe")
    settings = ("data.decimal=,", "data.missing_marks=k.A.", "data.encoding=cp1252")
    options = [part for setting in settings for part in ("--set", setting)]

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["tfprune", *map(str, arguments)])
        with contextlib.suppress(SystemExit):
            cli.main()
        return capsys.readouterr()

    run = ["train", "--dataset", str(path), "--label", "kind", "--missing", "impute", "--epochs", "30", *options]
    called(*run, "--method", "unpruned", "--out", tmp_path / "runs")
    (model,) = (tmp_path / "runs").iterdir()
    new = tmp_path / "new.csv"
    new.write_text("größe\n0,002\n1,003\nk.A.\n1.000,5\n", encoding="cp1252")
    out = called("predict", model, new).out
    labels = [line.split()[1] for line in out.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert labels[:2] == ["a", "b"] and len(labels) == 4 and labels[3] == "b"
    new.write_text("größe\n0,002\n", encoding="utf-8")
    said = called("predict", model, new)
    assert not said.out and "column größe is missing" in said.err and said.err.count("\n") == 1
