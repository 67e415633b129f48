"""Small files of one's own, a table and a folder of images, that a small network learns."""

import csv

import numpy as np
from PIL import Image

ROWS = 60


def write_rows(path, rows, header=("length (cm)", "class", "colour", "wings")):
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def insects(missing=0):
    """Rows that a small network can tell apart; `class` is an awkward name for an argument."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(ROWS):
        label = number % 3
        length = "NA" if number < missing else f"{10 * label + random.normal():.3f}"
        rows.append((length, random.integers(5), ("red", "green", "blue")[label], ("ant", "bee", "fly")[label]))
    return rows


def write_images(root, count=8, classes=("dark", "light")):
    random = np.random.default_rng(0)
    for brightness, name in enumerate(classes):
        (root / name / "deeper").mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 120, (40 + number, 60, 3), np.uint8) + 130 * brightness
            folder = root / name / "deeper" if number == 0 else root / name
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.{('png', 'jpg', 'bmp')[number % 3]}")
    return root
