"""Image data sets: read from prepared copies, split, and what is said when there is none."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from prepared import COPIES, STORED, write_copy

from tfprune.adapters.backend import tf
from tfprune.data import DATASETS, _tfds
from tfprune.data._base import Split
from tfprune.data._splits import hold_out
from tfprune.data._tfds import image_inputs, read_images, square
from tfprune.utils.errors import DataError
from tfprune.utils.folders import prepared_folder


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(_tfds, "_offline", lambda builder: "no network: none in this test")


@pytest.mark.parametrize("name", STORED)
def test_loads_uint8_images_of_the_promised_size_and_splits(copies, name):
    data = DATASETS[name].load(copies, 0)
    _, _, splits, shape, labels = STORED[name]
    side, channels = (96, 3) if name == "flowers" else shape[1:]
    counts = (
        {"train": 18, "validation": 2, "test": 4} if "test" in splits else {"train": 16, "validation": 2, "test": 2}
    )
    for split, count in counts.items():
        examples = getattr(data, split)
        assert (examples.x.dtype, examples.y.dtype) == (np.uint8, np.int64)
        assert examples.x.shape == (count * len(labels), side, side, channels)
        assert list(np.bincount(examples.y)) == [count] * len(labels)
    assert data.labels == labels
    assert set(data.inputs) == {"serving_default", "image_bytes"}


@pytest.mark.parametrize("name", STORED)
def test_splits_share_no_image(copies, name):
    data = DATASETS[name].load(copies, 0)
    images = [image.tobytes() for split in (data.train, data.validation, data.test) for image in split.x]
    assert len(set(images)) == len(images)


def test_the_seed_moves_validation_and_never_the_test(copies):
    one, same, other = (DATASETS["cifar10"].load(copies, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.validation.x, same.validation.x)
    assert not np.array_equal(one.validation.x, other.validation.x)
    np.testing.assert_array_equal(one.test.x, other.test.x)


def test_flowers_are_split_alike_in_every_run(copies):
    one, other = (DATASETS["flowers"].load(copies, seed) for seed in (0, 1))
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, split).x, getattr(other, split).x)


def test_the_folder_may_come_from_the_environment(copies, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(copies))
    assert len(DATASETS["cifar10"].load(None, 0).test) == 40
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert prepared_folder() == Path.home() / "tensorflow_datasets"


@pytest.mark.parametrize("name", STORED)
def test_exported_inputs_give_what_training_saw(copies, name):
    data = DATASETS[name].load(copies, 0)
    tfds_name, _, _, shape, _ = STORED[name]
    channels = shape[2]
    (stored,), _ = read_images(tfds_name, ("train",), copies, side=data.input_shape[0], channels=channels)
    original = np.random.default_rng(0).integers(0, 256, shape, np.uint8)  # the first that `write_copy` drew
    assert (stored.x == square(tf.constant(original), data.input_shape[0]).numpy()).all(axis=(1, 2, 3)).any()
    expected = square(tf.constant(original), data.input_shape[0]).numpy()
    pixels = data.inputs["serving_default"].encode({"images": tf.constant(original[np.newaxis])})
    files = data.inputs["image_bytes"].encode({"image_bytes": tf.constant([tf.io.encode_png(original).numpy()])})
    np.testing.assert_array_equal(pixels[0], expected)
    np.testing.assert_array_equal(files[0], expected)


def test_no_copy_and_no_network_is_one_line_with_the_folder_and_the_command(tmp_path, offline):
    with pytest.raises(DataError) as caught:
        DATASETS["flowers"].load(tmp_path, 0)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: holds no complete tf_flowers")
    assert "tfds build tf_flowers --data_dir FOLDER" in message
    assert "\n" not in message


def test_a_download_that_fails_is_one_line_with_the_reason(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(self, **_):
        raise ConnectionError("the site\nis gone")

    monkeypatch.setattr(_tfds, "_offline", lambda builder: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(DataError, match=r"holds no complete cifar10.*\(the site is gone\).*tfds build cifar10"):
        DATASETS["cifar10"].load(tmp_path, 0)


def test_what_is_missing_is_downloaded_where_there_is_a_network(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(_tfds, "_offline", lambda builder: None)
    prepare = tfds.core.DatasetBuilder.download_and_prepare

    def download(self, **_):
        if self.name != "cifar10" or type(self).__name__ == "AdhocBuilder":
            return prepare(self)
        write_copy(tmp_path, "cifar10")
        return self.info.read_from_directory(self.data_dir)

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    assert len(DATASETS["cifar10"].load(tmp_path, 0).test) == 40


def test_whether_there_is_a_network_is_found_out_in_seconds(monkeypatch):
    def no_answer(request, timeout):
        assert timeout <= 30
        raise _tfds.urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(_tfds.urllib.request, "urlopen", no_answer)
    builder = type("Builder", (), {"url_infos": {"https://example.org/a.zip": None}})()
    assert _tfds._offline(builder) == "no network: Name or service not known"


def cut_short(folder):
    (record,) = folder.glob("*train.tfrecord*")
    record.write_bytes(record.read_bytes()[:-1000])


def scrambled(folder):
    (record,) = folder.glob("*train.tfrecord*")
    content = bytearray(record.read_bytes())
    content[5000:5100] = bytes(100)
    record.write_bytes(content)


def without_records(folder):
    for record in folder.glob("*train.tfrecord*"):
        record.unlink()


def with_a_broken_description(folder):
    (folder / "dataset_info.json").write_text('{"name"')


def with_fewer_examples(folder):
    (record,) = folder.glob("*train.tfrecord*")
    record.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [cut_short, scrambled, without_records, with_a_broken_description, with_fewer_examples]
)
@pytest.mark.parametrize("stream", ["memory", "shards"])
def test_a_broken_copy_is_one_line_that_names_its_folder(copies, tmp_path, damage, stream):
    shutil.copytree(copies / "cifar10", tmp_path / "cifar10")
    damage(tmp_path / "cifar10" / "3.0.2")
    with pytest.raises(DataError) as caught:
        DATASETS["cifar10"].load(tmp_path, 0, stream)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'cifar10'}: the prepared copy cannot be read")
    assert "\n" not in message and "{{" not in message


def test_square_cuts_the_middle_of_the_longer_side():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    for images in (image, image.transpose(1, 0, 2)):
        assert square(tf.constant(images), 5).numpy().min() == 200


def test_square_leaves_images_of_the_right_size_alone():
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))
    np.testing.assert_array_equal(square(images, 32), images)
    of_any_size = tf.function(lambda x: square(x, 32), input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    np.testing.assert_array_equal(of_any_size(images), images)


def test_square_averages_over_what_it_shrinks():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::8] = 240  # an eighth of the pixels, and none of those that a mere sampling would look at
    shrunk = square(tf.constant(stripes), 8).numpy()[:, 1:-1]
    assert np.abs(shrunk.astype(int) - 30).max() <= 2


def test_square_treats_images_alike_alone_and_in_a_batch():
    images = np.random.default_rng(0).integers(0, 256, (4, 50, 41, 3), np.uint8)
    together = square(tf.constant(images), 24).numpy()
    np.testing.assert_array_equal(together, [square(tf.constant(image), 24).numpy() for image in images])


def test_exported_inputs_take_files_of_all_kinds():
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    opaque = np.concatenate([colour, np.full((20, 30, 1), 255, np.uint8)], axis=-1)
    files = [
        tf.io.encode_png(colour),
        tf.io.encode_png(opaque),
        tf.io.encode_jpeg(colour),
        tf.io.encode_jpeg(colour[..., :1]),
        tf.io.encode_png(colour[..., :1].astype(np.uint16) * 256),
    ]
    for channels in (1, 3):
        encoded = image_inputs(16, channels)["image_bytes"].encode({"image_bytes": tf.stack(files)})
        assert (encoded.shape, encoded.dtype) == ((len(files), 16, 16, channels), tf.uint8)


def test_holding_out_is_stratified_and_leaves_nothing_out():
    y = np.repeat([0, 1, 2], [100, 50, 7])
    kept, held = hold_out(Split(np.arange(len(y)), y), 0.1, seed=3)
    assert list(np.bincount(held.y)) == [10, 5, 1]
    assert sorted([*kept.x, *held.x]) == list(range(len(y)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts", "shape"),
    [
        ("fashion_mnist", (54_000, 6_000, 10_000), (28, 28, 1)),
        ("flowers", (2_936, 367, 367), (96, 96, 3)),
        ("cifar10", (45_000, 5_000, 10_000), (32, 32, 3)),
    ],
)
def test_the_real_copies_have_the_known_sizes_and_labels(name, counts, shape):
    if not (COPIES / STORED[name][0]).is_dir():
        pytest.skip(f"there is no prepared copy of {name} in {COPIES}; set TFDS_DATA_DIR")
    data = DATASETS[name].load(COPIES, 0)
    assert tuple(map(len, (data.train, data.validation, data.test))) == counts
    assert data.input_shape == shape
    assert data.labels == STORED[name][-1]
