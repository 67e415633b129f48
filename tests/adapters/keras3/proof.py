"""Prunes models of Keras 3, trains three steps, saves and loads; the data of docs/compatibility.md, see `pages`.

`KERAS_BACKEND=jax python tests/adapters/keras3/proof.py FILE.jsonl [NAME ...]` appends a line for each model that the
file does not have yet on this backend: all of keras.applications, small configurations of keras_hub, where that is
installed, and `architectures`.
"""

import importlib.util
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

SIDES = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}  # the least, where 32 is too small
EAGERLY = 150  # layers from which TensorFlow makes a graph in more time than it takes three steps in without one
TEXT = {"vocabulary_size": 20, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
ENCODER = TEXT | {"max_sequence_length": 12}
LLM = {name: value for name, value in TEXT.items() if name != "num_heads"}
LLM |= {"num_query_heads": 2, "num_key_value_heads": 1}
IMAGES = {"image_shape": (32, 32, 3)}
HUB = {
    "BertBackbone": ENCODER,
    "DistilBertBackbone": ENCODER,
    "RobertaBackbone": ENCODER,
    "AlbertBackbone": ENCODER | {"embedding_dim": 8},
    "GPT2Backbone": ENCODER,
    "OPTBackbone": ENCODER,
    "LlamaBackbone": LLM,
    "MistralBackbone": LLM,
    "GemmaBackbone": LLM | {"head_dim": 4},
    "T5Backbone": TEXT | {"key_value_dim": 4},
    "WhisperBackbone": TEXT | {"num_mels": 8, "max_encoder_sequence_length": 16, "max_decoder_sequence_length": 12},
    "ViTBackbone": {"image_shape": (16, 16, 3), "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
    | {"mlp_dim": 16},
    "ResNetBackbone": {"input_conv_filters": [64], "input_conv_kernel_sizes": [3], "stackwise_num_filters": [64, 128]}
    | {"stackwise_num_blocks": [1, 1], "stackwise_num_strides": [1, 2], "block_type": "basic_block"}
    | {"image_shape": (16, 16, 3)},
    "DenseNetBackbone": IMAGES | {"stackwise_num_repeats": [2, 2], "growth_rate": 4},
    "MobileNetBackbone": IMAGES
    | {"stackwise_expansion": [[40, 56], [64]], "stackwise_num_blocks": [2, 1], "stackwise_num_filters": [[16, 16]] * 2}
    | {"stackwise_kernel_size": [[3, 3], [5]], "stackwise_num_strides": [[2, 1], [1]]}
    | {"stackwise_se_ratio": [[None, None], [0.25]], "stackwise_activation": [["relu", "relu"], ["hard_swish"]]}
    | {"stackwise_padding": [[1, 1], [2]], "input_num_filters": 16, "input_activation": "hard_swish"}
    | {"output_num_filters": 32, "output_activation": "hard_swish", "depthwise_filters": 8, "squeeze_and_excite": 0.5}
    | {"last_layer_filter": 32, "depthwise_stride": 2, "depthwise_residual": False},
}
EXAMPLES, BATCH, CLASSES = 6, 2, 10


def applications():
    """Returns the names of all models of keras.applications."""
    from keras import applications

    return [name for name in dir(applications) if name[0].isupper() and callable(getattr(applications, name))]


def application(name):
    """Returns a model of keras.applications, images and labels."""
    import keras

    side = SIDES.get(name, 32)
    settings = {"input_shape": (side, side, 3), "weights": None, "classes": CLASSES, "classifier_activation": None}
    model = getattr(keras.applications, name)(**settings)
    return model, np.random.default_rng(0).normal(size=(EXAMPLES, side, side, 3)).astype(np.float32)


def from_hub(name):
    """Returns a small backbone with a head, and inputs."""
    import keras
    import keras_hub

    backbone = getattr(keras_hub.models, name)(**HUB[name])
    random = np.random.default_rng(0)
    inputs, x = {}, {}
    single = not isinstance(backbone.input, dict)
    given = {"images": backbone.input} if single else backbone.input
    for key, tensor in given.items():
        shape = [8 if side is None else side for side in tensor.shape[1:]]
        inputs[key] = keras.Input(shape, dtype=tensor.dtype, name=key)
        whole = "int" in str(tensor.dtype) or "bool" in str(tensor.dtype)
        top = 2 if "mask" in key or "segment" in key else 20
        x[key] = random.integers(0, top, (EXAMPLES, *shape)) if whole else random.normal(size=(EXAMPLES, *shape))
        x[key] = np.ones_like(x[key]) if "mask" in key else x[key].astype(tensor.dtype)
    output = backbone(inputs["images"] if single else inputs)
    flat = keras.tree.flatten(output)[-1]
    pooled = keras.layers.Dense(CLASSES, name="head")(keras.layers.Flatten()(flat))
    if single:
        return keras.Model(inputs["images"], pooled), x["images"]
    return keras.Model(inputs, pooled), x


def made(group, name):
    """Returns a model, data and a loss."""
    import keras

    if group == "architectures":
        from architectures import ARCHITECTURES

        model, x, y, loss = ARCHITECTURES[name]()
        return model, *keras.tree.map_structure(lambda own: own[:EXAMPLES], (x, y)), loss
    model, x = from_hub(name) if group == "keras_hub" else application(name)
    return model, x, np.arange(EXAMPLES) % CLASSES, keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def proved(group, name):
    """Prunes a model to half of its kernel weights; returns what came of it: a part of a line of the file."""
    import keras
    from architectures import IN_PLACE

    import tfprune
    from tfprune.adapters import adapter_of

    started = time.monotonic()
    model, x, y, loss = made(group, name)
    jitted = keras.backend.backend() == "jax"
    eagerly = not jitted and len(model._flatten_layers()) > EAGERLY
    # Gradients are clipped: those of a deep network with initial weights can be 1e11, pruned or not.
    optimizer = keras.optimizers.SGD(1e-5, momentum=0.9, clipvalue=1.0)
    model.compile(optimizer, loss, run_eagerly=eagerly, jit_compile=jitted)
    given = {"method": "magnitude_at_init", "sparsity": 0.5, "scope": "layer", "epochs": 1, "batch_size": BATCH}
    trained = tfprune.train(model, (x, y), verbose=0, in_place=name in IN_PLACE, **given)
    adapter, masks, model = adapter_of(trained.model), trained.masks, trained.model
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == EXAMPLES // BATCH
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/m.keras")
        loaded = keras.models.load_model(f"{folder}/m.keras")
    alike = len(model.trainable_variables) == len(loaded.trainable_variables)
    assert alike, "Keras, pruned or not, loads it with other weights trainable, and so without the optimizer's state"
    remembered = 0
    for own in (model, loaded):
        # In the order of the model: layers that a person's own layer makes are numbered anew where they are loaded.
        for (key, mask), kernel in zip(masks.items(), _kernels(adapter, own), strict=True):
            gone, slots = mask == 0, adapter.slots(own.optimizer, kernel)
            values = [np.asarray(keras.ops.convert_to_numpy(value), np.float32) for value in (kernel.value, *slots)]
            assert all(not value[gone].any() for value in values), f"{key} is not zero where it is pruned"
            assert abs(gone.sum() - mask.size / 2) < 1, f"{gone.sum()} of {mask.size} in {key}"
            remembered += sum(int(np.count_nonzero(value)) for value in values[1:])
    assert remembered, "the optimizer remembers nothing"
    for one, other in zip(_state(model), _state(loaded), strict=True):
        np.testing.assert_array_equal(one, other)
    weights, zeros = (
        sum(int(count(mask)) for mask in masks.values()) for count in (np.size, lambda own: np.sum(own == 0))
    )
    own = {"kernels": len(masks), "weights": weights, "zeros": zeros, "share": weights / model.count_params()}
    return {"outcome": "yes", "eagerly": eagerly, **own, "seconds": round(time.monotonic() - started, 1)}


def _kernels(adapter, model):
    """Returns the variables that are kernels of a model, which is masked no more."""
    adapter.attach(model)
    kernels = vars(model)["_tfprune_masks"].kernels()
    adapter.detach(model)
    return list(kernels.values())


def _state(model):
    """Returns the weights of a model and what its optimizer remembers."""
    from tfprune.adapters.keras3 import backends

    return [backends.numbers(own) for own in (*model.weights, *model.optimizer.variables) if own.dtype != "bool"]


def versions():
    import keras

    names = ["keras", keras.backend.backend(), *(["keras-hub"] if importlib.util.find_spec("keras_hub") else [])]
    return {name: version(name).partition("+")[0] for name in names}


def models():
    """Returns what is tried, as pairs of a group and a name."""
    from architectures import ARCHITECTURES

    yield from (("architectures", name) for name in ARCHITECTURES if not name.startswith("random"))
    yield from (("keras_hub", name) for name in HUB if importlib.util.find_spec("keras_hub"))
    yield from (("keras.applications", name) for name in applications())


def main(path, *names):
    path = Path(path)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if importlib.util.find_spec(backend) is None:
        print(f"{backend} is not installed")
        return 0
    import keras

    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(own["group"], own["model"]) for own in lines if own["backend"] == backend and own["outcome"] == "yes"}
    failed = 0
    for group, name in models():
        if (names and name not in names) or (group, name) in known:
            continue
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        try:
            own = proved(group, name)
        except Exception as error:
            failed += 1
            own = {"outcome": f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"}
        line = json.dumps({"group": group, "model": name, "backend": backend, "versions": versions(), **own})
        with path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)
    return failed


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sys.exit(bool(main(*sys.argv[1:])))
