"""Prunes others' models of Keras 3, trains three steps, saves and loads; writes the table of docs/compatibility.md.

`KERAS_BACKEND=jax python tests/adapters/keras3/proof.py FILE.jsonl [NAME ...]` appends one line per model to a file,
those of keras.applications (one of each family) and small configurations of keras_hub, where that is installed;
`... --table FILE.jsonl` writes the page from such a file, which may hold several backends.
"""

import importlib.util
import json
import logging
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tabulate import tabulate

import tfprune
from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3_module as keras
from tfprune.reporting.tables import update_page

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"
FAMILIES = (
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50", "ResNet50V2", "VGG16", "EfficientNetB0"),
    *("EfficientNetV2B0", "DenseNet121", "NASNetMobile", "Xception", "InceptionV3", "ConvNeXtTiny"),
    "InceptionResNetV2",
)
LARGE = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}  # the least side, where 32 is too small
TEXT = {"vocabulary_size": 20, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
LLM = TEXT | {"num_query_heads": 2, "num_key_value_heads": 1}
del LLM["num_heads"]
HUB = {
    "BertBackbone": TEXT | {"max_sequence_length": 12},
    "DistilBertBackbone": TEXT | {"max_sequence_length": 12},
    "RobertaBackbone": TEXT | {"max_sequence_length": 12},
    "AlbertBackbone": TEXT | {"embedding_dim": 8, "max_sequence_length": 12},
    "GPT2Backbone": TEXT | {"max_sequence_length": 12},
    "OPTBackbone": TEXT | {"max_sequence_length": 12},
    "LlamaBackbone": LLM,
    "MistralBackbone": LLM,
    "GemmaBackbone": LLM | {"head_dim": 4},
    "ViTBackbone": {"image_shape": (16, 16, 3), "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
    | {"mlp_dim": 16},
    "ResNetBackbone": {"input_conv_filters": [64], "input_conv_kernel_sizes": [3], "stackwise_num_filters": [64, 128]}
    | {"stackwise_num_blocks": [1, 1], "stackwise_num_strides": [1, 2], "block_type": "basic_block"}
    | {"image_shape": (16, 16, 3)},
    "DenseNetBackbone": {"stackwise_num_repeats": [2, 2], "image_shape": (32, 32, 3), "growth_rate": 4},
}
EXAMPLES = 6


def application(name):
    """Returns a model of keras.applications for three classes, and images."""
    side = LARGE.get(name, 32)
    kind = getattr(keras.applications, name)
    model = kind(input_shape=(side, side, 3), weights=None, classes=3, classifier_activation=None)
    return model, np.random.default_rng(0).normal(size=(EXAMPLES, side, side, 3)).astype(np.float32)


def from_hub(name):
    """Returns a small backbone with a head for three classes, and inputs."""
    import keras_hub

    backbone = getattr(keras_hub.models, name)(**HUB[name])
    random = np.random.default_rng(0)
    inputs, x = {}, {}
    given = backbone.input if isinstance(backbone.input, dict) else {"images": backbone.input}
    for key, tensor in given.items():
        shape = [8 if side is None else side for side in tensor.shape[1:]]
        inputs[key] = keras.Input(shape, dtype=tensor.dtype, name=key)
        whole = "int" in str(tensor.dtype) or "bool" in str(tensor.dtype)
        top = 2 if "mask" in key or "segment" in key else 20
        x[key] = random.integers(0, top, (EXAMPLES, *shape)) if whole else random.normal(size=(EXAMPLES, *shape))
        x[key] = np.ones_like(x[key]) if "mask" in key else x[key].astype(tensor.dtype)
    single = not isinstance(backbone.input, dict)
    output = backbone(inputs["images"] if single else inputs)
    flat = keras.tree.flatten(output)[-1]
    pooled = keras.layers.Dense(3, name="head")(keras.layers.Flatten()(flat))
    if single:
        return keras.Model(inputs["images"], pooled), x["images"]
    return keras.Model(inputs, pooled), x


def proved(name):
    """Returns what came of a model: a line of the file."""
    started = time.monotonic()
    model, x = from_hub(name) if name in HUB else application(name)
    model.compile(keras.optimizers.SGD(1e-5, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(True))
    given = {
        "method": "magnitude_at_init",
        "sparsity": 0.5,
        "scope": "layer",
        "epochs": 1,
        "batch_size": 2,
        "verbose": 0,
    }
    trained = tfprune.train(model, (x, np.arange(EXAMPLES) % 3), **given)
    assert int(keras.ops.convert_to_numpy(trained.model.optimizer.iterations)) == 3
    with tempfile.TemporaryDirectory() as folder:
        trained.model.save(f"{folder}/m.keras")
        loaded = keras.models.load_model(f"{folder}/m.keras")
    kernels = adapter_of(loaded).attach(loaded).kernels()
    assert list(kernels) == list(trained.masks)
    zeros = 0
    for key, mask in trained.masks.items():
        gone = mask == 0
        assert not np.asarray(kernels[key])[gone].any(), f"{key} is not zero where it is pruned"
        assert abs(gone.sum() - mask.size / 2) < 1, f"{gone.sum()} of {mask.size} in {key}"
        zeros += int(gone.sum())
    weights = sum(mask.size for mask in trained.masks.values())
    share = weights / model.count_params()
    own = {"kernels": len(trained.masks), "zeros": zeros, "weights": weights, "share": share}
    return {"outcome": "yes", **own, "seconds": time.monotonic() - started}


def versions():
    names = ["keras", keras.backend.backend(), *(["keras-hub"] if importlib.util.find_spec("keras_hub") else [])]
    return {name: version(name).partition("+")[0] for name in names}


def table(path):
    """Returns what a file says, one row per model, as Markdown."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    backends = list(dict.fromkeys(own["backend"] for own in found))
    used = {name: number for own in found for name, number in own["versions"].items()}
    rows, notes = [], []
    for name in dict.fromkeys(own["model"] for own in found):
        of = {own["backend"]: own for own in found if own["model"] == name}
        known = next((own for own in of.values() if own["outcome"] == "yes"), None)
        cells = []
        for backend in backends:
            outcome = of[backend]["outcome"] if backend in of else ""
            if outcome not in ("yes", ""):
                notes.append(f"({len(notes) + 1}) {outcome}")
                outcome = f"({len(notes)})"
            cells.append(outcome)
        rows.append([name, f"{known['share']:.0%}" if known else "", *cells])
    text = "With " + ", ".join(f"{name} {number}" for name, number in sorted(used.items())) + ":\n\n"
    text += tabulate(rows, ["model", "of its weights", *backends], tablefmt="github")
    return text + "\n" + ("\n" + "\n".join(f"* {note}" for note in notes) + "\n" if notes else "")


def main(path, *names):
    if path == "--table":
        update_page(PAGE, "keras3", table(Path(names[0])))
        return 0
    failed = 0
    for name in names or (*FAMILIES, *(HUB if importlib.util.find_spec("keras_hub") else ())):
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        try:
            own = proved(name)
        except Exception as error:
            failed += 1
            own = {"outcome": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"}
        line = json.dumps({"model": name, "backend": keras.backend.backend(), "versions": versions(), **own})
        with Path(path).open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)
    return failed


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sys.exit(bool(main(*sys.argv[1:])))
