"""Words that people bring from other tools and papers, and what they are called here."""

from __future__ import annotations

from collections.abc import Mapping

_APPLICATIONS = (
    *("Xception", "VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"),
    *("InceptionV3", "InceptionResNetV2", "MobileNet", "MobileNetV3Small", "MobileNetV3Large", "DenseNet121"),
    *("DenseNet169", "DenseNet201", "NASNetMobile", "NASNetLarge", *(f"EfficientNetB{n}" for n in range(8))),
    *(f"EfficientNetV2{n}" for n in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *(f"ConvNeXt{n}" for n in ("Tiny", "Small", "Base", "Large", "XLarge")),
)
_OF_TFDS = (
    "mnist",
    "kmnist",
    "emnist",
    "svhn_cropped",
    "cifar100",
    "cats_vs_dogs",
    "iris",
    "stl10",
    "beans",
    "eurosat",
)
_STRUCTURED = "--granularity filter, with a method that prunes trained weights, such as fine_tuned"
_BY_MAGNITUDE = "pruned (no training after it), fine_tuned or gradual, which rank by magnitude"

MEANT: Mapping[str, Mapping[str, str]] = {  # kind of name -> what people write, see `meant` -> what they mean
    "method": {
        **dict.fromkeys(("magnitude", "magnitudepruning", "l1", "l1unstructured", "topk"), _BY_MAGNITUDE),
        **dict.fromkeys(("imp", "lth", "lotteryticket", "winningticket", "iterativemagnitudepruning"), "lottery"),
        **dict.fromkeys(("oneshot", "posttraining", "prunelowmagnitude"), "pruned"),
        **dict.fromkeys(("gmp", "agp", "polynomial", "polynomialdecay", "zhugupta", "tfmot"), "gradual"),
        **dict.fromkeys(("finetune", "finetuning", "han"), "fine_tuned"),
        **dict.fromkeys(("dense", "baseline", "none", "nopruning"), "unpruned"),
        **dict.fromkeys(("lrrewinding", "learningraterewinding"), "rate_rewinding"),
        **dict.fromkeys(("structured", "channel", "channels", "filter", "filters", "slimming"), _STRUCTURED),
    },
    "granularity": {
        **dict.fromkeys(("structured", "channel", "channels", "filters", "units", "neuron", "neurons"), "filter"),
        **dict.fromkeys(("unstructured", "element", "weights", "fine"), "weight"),
        **dict.fromkeys(("residual", "branches", "layer", "depth"), "branch"),
        **dict.fromkeys(("2:4", "4:8", "1:4", "nm", "semistructured"), "n:m, with --set pattern=2:4"),
    },
    "data set": {name.replace("_", ""): f"tfds:{name}" for name in _OF_TFDS} | {"fashion": "fashion_mnist"},
    "model": {
        **{name.lower(): f"applications:{name}" for name in _APPLICATIONS},
        **{"resnet": "resnet20", "cnn": "lenet", "dense": "mlp"},
    },
}


def meant(kind: str, name: object) -> str | None:
    """Returns what is meant by a name that people bring from elsewhere, however it is written; None if unknown.

    >>> meant("model", "ResNet-50"), meant("method", "IMP"), meant("method", "dynamic")
    ('applications:ResNet50', 'lottery', None)
    """
    return MEANT.get(kind, {}).get("".join(char for char in str(name).lower() if char.isalnum() or char == ":"))
