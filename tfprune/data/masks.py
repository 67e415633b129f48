"""A folder of a user's own images and masks, for segmentation: a mask has the class number of each pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from tfprune.data._base import Data, DatasetSpec, Split
from tfprune.data.folder import SPLIT_FOLDERS, ImageFolder, folders_in, images_spec, is_image, names_in_splits
from tfprune.data.objectives.segmentation import Segmentation
from tfprune.utils.checks import check_names
from tfprune.utils.errors import DataError
from tfprune.utils.fingerprints import fingerprint

IMAGES, MASKS = "images", "masks"
MULTIPLE = 8  # of which the side of images is one, so that it can be halved and doubled again
MOST_CLASSES = 64
WHITE = 255  # the second class of masks in black and white


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskFolder(ImageFolder):
    """Images in a folder `images` and masks in a folder `masks`, of the same names; in folders of splits or not.

    Args:
        classes: names of the classes, in the order of their numbers in the masks; without, they are found in the masks.
    """

    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)
    later: ClassVar[tuple[str, ...]] = ()

    task: str = "segmentation"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._store("classes", check_names("data.classes", self.classes))

    def described(self, path: str, data_dir: Path | None) -> MaskFolder:
        root = Path(path)
        pairs = [pair for own in _pairs(root).values() for pair in own]
        files = [image for image, _ in pairs]
        side, channels = self.size_chosen(files)
        side = self.side or max(MULTIPLE, side - side % MULTIPLE)
        digits = fingerprint(sorted(file for pair in pairs for file in pair), relative_to=root)
        found = {"side": side, "channels": channels, "fingerprint": digits, "examples": len(files)}
        return dataclasses.replace(self, **found, task=self.tasks[0])

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        from tfprune.data._splits import three_splits
        from tfprune.data._tfds import image_inputs

        root = Path(path)
        pairs = _pairs(root)
        every = [pair for own in pairs.values() for pair in own]
        files = [image for image, _ in every]
        x, readable, warnings = self.read(files, path, stream)
        none = np.zeros((self.side, self.side), np.uint8)  # of an image that is left out
        pairs_read = zip(every, readable, strict=True)
        masks = np.stack([read_mask(mask, image, self.side) if own else none for (image, mask), own in pairs_read])
        labels, y = self._class_numbers(masks, [mask for _, mask in every], path)
        ends = np.cumsum([len(own) for own in pairs.values()])
        given = {name: np.arange(end - len(pairs[name]), end) for name, end in zip(pairs, ends, strict=True)}
        given = {name: places[readable[places]] for name, places in given.items()}
        how = {"validation": self.validation, "test": self.test, "seed": self.split_seed}
        try:
            places = three_splits(np.zeros(len(files), np.int64), given, (), **how)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return Data(
            **{name: Split(x[own], y[own]) for name, own in places.items()},
            labels=labels,
            target="mask",
            inputs=image_inputs(self.side, self.channels),
            split_members=names_in_splits(files, root, places),
            warnings=warnings,
            objective=Segmentation(),
            notes=(f"masks of {len(labels)} classes: segmentation",),
        )

    def _class_numbers(self, masks: np.ndarray, files: Sequence[Path], path: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Returns the names of the classes, and masks of their numbers."""
        found = np.unique(masks)
        if not self.classes and found.tolist() == [0, WHITE]:
            return ("0", str(WHITE)), (masks == WHITE).astype(np.uint8)
        count = len(self.classes) or int(found.max()) + 1
        if found.max() >= count:
            first = files[int(np.argmax((masks >= count).any(axis=(1, 2))))]
            raise DataError(
                f"{first}: a pixel has the value {found.max()}, and data.classes names {count}: 0 to {count - 1}"
            )
        if count < 2:
            raise DataError(f"{path}: all pixels of all masks are 0; two classes or more are needed")
        if count > MOST_CLASSES and not self.classes:
            raise DataError(
                f"{path}: masks have values up to {found.max()}, more classes than {MOST_CLASSES}; a mask has "
                "the class number of each pixel, from 0 on (or name the classes with --set data.classes)"
            )
        return self.classes or tuple(map(str, range(count))), masks.astype(np.uint8)

    def spec(self) -> DatasetSpec:
        usual = images_spec(self.examples, self.side, self.channels, streams=True)
        return dataclasses.replace(usual, model="unet", augment=(), batch_size=16, learning_rate=1e-3)


def are_masks(folder: Path) -> bool:
    """Returns whether a folder holds images and masks, or folders of splits that do."""
    inside = [folder, *(own for own in folders_in(folder) if own.name.lower() in SPLIT_FOLDERS)]
    return any((own / IMAGES).is_dir() and (own / MASKS).is_dir() for own in inside)


def _pairs(root: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Returns split -> its images with their masks, sorted; all are `train` if there are no folders of splits."""
    if (root / IMAGES).is_dir():
        return {"train": _pairs_in(root)}
    splits = {SPLIT_FOLDERS[own.name.lower()]: own for own in folders_in(root) if own.name.lower() in SPLIT_FOLDERS}
    if "train" not in splits:
        raise DataError(f"{root}: there is no folder 'train' beside {', '.join(sorted(splits))}")
    return {split: _pairs_in(splits[split]) for split in ("train", "validation", "test") if split in splits}


def _pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    images, masks = (
        {file.stem: file for file in sorted((folder / name).glob("*")) if is_image(file)} for name in (IMAGES, MASKS)
    )
    for own, other, what in ((images, masks, "mask"), (masks, images, "image")):
        if alone := sorted(own.keys() - other.keys()):
            raise DataError(f"{own[alone[0]]}: there is no {what} of that name beside it; add it, or remove this file")
    if not images:
        raise DataError(f"{folder / IMAGES}: there is no image in it that is read")
    return [(image, masks[stem]) for stem, image in images.items()]


def read_mask(path: Path, image: Path, side: int) -> np.ndarray:
    """Reads the central square of a mask as images are read, each pixel the class of the nearest.

    Args:
        path: of the mask: one channel, or a palette.
        image: that it belongs to, of the same size.
        side: of the result.

    Returns:
        uint8 [side, side].

    Raises:
        DataError: it is no mask of that image.
    """
    from PIL import Image

    from tfprune.data._tfds import unfit

    if problem := unfit(path):
        raise DataError(f"{path}: this mask is not read ({problem})")
    try:
        with Image.open(path) as mask, Image.open(image) as picture:
            if mask.size != picture.size:
                sizes = [" x ".join(map(str, own.size)) for own in (mask, picture)]
                raise DataError(f"{path}: the mask has {sizes[0]} pixels, and its image {sizes[1]}; they must be alike")
            if mask.mode not in ("L", "P", "1"):
                raise DataError(
                    f"{path}: a mask has one channel with the class number of each pixel, this is {mask.mode}; save it "
                    "as a grey PNG of class numbers"
                )
            width, height = mask.size
            shorter = min(width, height)
            top, left = (height - shorter) // 2, (width - shorter) // 2
            numbers = np.array(mask, np.uint8)[top : top + shorter, left : left + shorter]
    except OSError as error:
        raise DataError(f"{path}: this is no mask that can be read ({error})") from None
    places = ((np.arange(side) + 0.5) * shorter / side).astype(int)
    return numbers[places][:, places]
