"""Bad and odd images: each is one line and exit code 2, or is read right, in bounded time and memory."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tfprune.adapters.backend import keras
from tfprune.data._tfds import decode, unfit
from tfprune.experiments.building import load_data
from tfprune.exporting.inference import Predictor
from tfprune.exporting.savedmodel import export
from tfprune.training.config import Config
from tfprune.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("bounded")

SIDE = 16
HUGE = 20_000  # pixels, of a side


def encoded(image, kind, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def picture(mode="RGB", side=SIDE, colour=None):
    """A picture whose upper half is dark and lower half light, or all of one colour."""
    pixels = np.zeros((side, side), np.uint8)
    pixels[side // 2 :] = 255
    image = Image.fromarray(pixels).convert(mode)
    return image if colour is None else Image.new(mode, (side, side), colour)


def png_of(width, height, rows=b""):
    """A grey PNG of one bit a pixel that says it has a size."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def bmp_of(width, height):
    pixels = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(300)
    return b"BM" + struct.pack("<IHHI", 54 + 300, 0, 0, 54) + pixels


def jpeg_of(width, height):
    content = bytearray(encoded(picture(), "JPEG"))
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(content)


PNG, JPEG, GIF, BMP = (encoded(picture(), kind) for kind in ("PNG", "JPEG", "GIF", "BMP"))
BAD = {
    "empty": b"",
    "a byte": b"\x89",
    "text": b"no image\n",
    "zeros": bytes(1000),
    "HTML": b"<html><body>404</body></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "TIFF": encoded(picture(), "TIFF"),
    "a PDF": b"%PDF-1.4\n",
    **{f"{name} without its end": own[: len(own) // 2] for name, own in [("PNG", PNG), ("JPEG", JPEG), ("BMP", BMP)]},
    **{f"{name} of a header alone": own[:16] for name, own in [("PNG", PNG), ("JPEG", JPEG), ("GIF", GIF)]},
    "PNG with a byte flipped": PNG[:45] + bytes([PNG[45] ^ 0xFF]) + PNG[46:],
    "PNG of no width": png_of(0, 5),
    "PNG of 20,000 x 20,000": lambda: png_of(HUGE, HUGE, bytes(HUGE * (HUGE // 8 + 1))),
    "PNG that says it is 20,000 x 20,000": png_of(HUGE, HUGE),
    "PNG that says it is as large as can be": png_of(2**31 - 1, 2**31 - 1),
    "PNG of 1 x 100 million": png_of(1, 10**8),
    "BMP that says it is 20,000 x 20,000": bmp_of(HUGE, HUGE),
    "BMP of a negative width": bmp_of(-5, 5),
    "JPEG that says it is 60,000 x 60,000": jpeg_of(60_000, 60_000),
    "GIF that says it is 60,000 x 60,000": GIF[:6] + struct.pack("<HH", 60_000, 60_000) + GIF[10:],
}


@pytest.fixture
def folder(tmp_path):
    """Two classes of good pictures, and a place for another one."""
    for name, colour in (("dark", 40), ("light", 200)):
        (tmp_path / "p" / name).mkdir(parents=True)
        for number in range(4):
            picture("RGB", colour=(colour, colour, colour + number)).save(tmp_path / "p" / name / f"{number}.png")

    def put(content, suffix="png"):
        path = tmp_path / "p" / "dark" / f"odd.{suffix}"
        path.write_bytes(content() if callable(content) else content)
        return tmp_path / "p"

    return put


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_one_line_and_can_be_skipped(refused, folder, name):
    root = folder(BAD[name])
    assert "dark/odd.png" in refused("train", "--dataset", root, "--method", "unpruned", "--epochs", 2)
    data = load_data(Config(dataset=str(root), data_settings={"broken": "skip"}))
    assert sum(len(names) for names in data.split_members.values()) == 8


def test_a_folder_of_bad_images_is_one_line(refused, tmp_path):
    for label in "ab":
        (tmp_path / "p" / label).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "p" / label / f"{number}.jpg").write_bytes(b"")
    assert "p/a/0.jpg" in refused("train", "--dataset", tmp_path / "p")


SIXTEEN = Image.fromarray(np.asarray(picture("L"), np.uint16) * 257)
ANIMATED = {"save_all": True, "append_images": [picture("RGB", colour=(255, 0, 0))] * 3}

ODD = {  # what all become the picture of `picture`, of any suffix
    "PNG": PNG,
    "PNG called JPEG": (PNG, "jpg"),
    "JPEG called PNG": JPEG,
    "GIF called BMP": (GIF, "bmp"),
    "a suffix in capitals": (PNG, "PNG"),
    "GIF": (GIF, "gif"),
    "an animated GIF": (encoded(picture(), "GIF", **ANIMATED), "gif"),
    "an animated PNG": encoded(picture(), "PNG", **ANIMATED),
    "an interlaced GIF": (encoded(picture("P"), "GIF", interlace=1), "gif"),
    "a progressive JPEG": (encoded(picture(), "JPEG", progressive=True), "jpg"),
    "JPEG of CMYK": (encoded(picture("CMYK"), "JPEG", quality=95), "jpg"),
    "a grey JPEG": (encoded(picture("L"), "JPEG"), "jpg"),
    "JPEG with bytes after its end": (JPEG + bytes(100), "jpg"),
    "PNG of 16 bits": encoded(SIXTEEN, "PNG"),
    "PNG of one bit": encoded(picture("1"), "PNG"),
    "PNG of a palette": encoded(picture("P"), "PNG"),
    "PNG with grey and opacity": encoded(picture("LA"), "PNG"),
    "PNG with opacity": encoded(picture("RGBA"), "PNG"),
    "PNG with text and a profile": encoded(picture(), "PNG", icc_profile=b"x" * 5000),
    "a large one": encoded(picture(side=1200), "PNG"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_is_read_right(folder, name):
    content, suffix = ODD[name] if isinstance(ODD[name], tuple) else (ODD[name], "png")
    data = load_data(Config(dataset=str(folder(content, suffix)), data_settings={"side": SIDE}))
    ((split, number),) = (
        (split, number)
        for split, names in data.split_members.items()
        for number, own in enumerate(names)
        if own.startswith("dark/odd")
    )
    pixels = getattr(data, split).x[number].astype(int)
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels[: SIDE // 2 - 1].max() < 12 and pixels[SIDE // 2 + 1 :].min() > 243


def test_an_image_of_a_pixel_row_too_many_is_not_decoded():
    side = 2**13
    assert unfit(io.BytesIO(png_of(side, side))) == ""
    assert unfit(io.BytesIO(png_of(side, side + 1))) == "8,192 x 8,193 are more than 67,108,864 pixels"


def test_images_of_a_pixel_are_made_larger(tmp_path):
    for value, label in enumerate("ab"):
        (tmp_path / "p" / label).mkdir(parents=True)
        for number in range(3):
            picture("RGB", 1, (100 * value,) * 3).save(tmp_path / "p" / label / f"{number}.png")
    data = load_data(Config(dataset=str(tmp_path / "p"), data_settings={"side": 8}))
    assert data.train.x.shape[1:] == (8, 8, 3) and set(np.unique(data.train.x)) == {0, 100}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """An exported model of images, untrained."""
    root = tmp_path_factory.mktemp("images")
    for label in "ab":
        (root / "p" / label).mkdir(parents=True)
        for number in range(3):
            picture("RGB", colour=(number, 0, 0)).save(root / "p" / label / f"{number}.png")
    data = load_data(Config(dataset=str(root / "p")))
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((SIDE, SIDE, 3), dtype="uint8"), layers.Rescaling(1 / 255), layers.Flatten()]
    )
    model.add(layers.Dense(2, name="logits"))
    export(model, data, {}, root / "model")
    return Predictor(root / "model")


def test_a_model_answers_for_odd_images_and_not_for_bad_ones(predictor, tmp_path):
    for name, content in ODD.items():
        (tmp_path / "odd").write_bytes(content[0] if isinstance(content, tuple) else content)
        assert predictor.predict_image(tmp_path / "odd").label in "ab", name
    for content in BAD.values():
        (tmp_path / "bad").write_bytes(content() if callable(content) else content)
        with pytest.raises(DataError, match="bad: ") as caught:
            predictor.predict_image(tmp_path / "bad")
        assert "\n" not in str(caught.value)


def test_a_good_image_is_decoded_as_others_decode_it():
    random = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for kind in ("PNG", "BMP"):
        content = encoded(Image.fromarray(random), kind)
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        np.testing.assert_array_equal(decode(content, 3), expected)
