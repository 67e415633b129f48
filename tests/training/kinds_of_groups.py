"""Groups of channels of all kinds that go at more than one event of a training, in either Keras; see `check`."""

from __future__ import annotations

from typing import Any

import numpy as np

import tfprune
from tfprune.adapters import adapter_of
from tfprune.pruning.events import PruningEvent
from tfprune.structured.channels import channels
from tfprune.structured.scoring import CRITERIA
from tfprune.structured.selecting import least_important
from tfprune.structured.surgery import remove_groups, take_out
from tfprune.structured.widths import expected_widths

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(32, 6, 6, 3)).astype(np.float32)
STEPS = RANDOM.normal(size=(32, 5, 12)).astype(np.float32)
CLASSES = np.arange(32) % 3
HALVES = {"events": (0.25, 0.5), "final_sparsity": 0.75}  # of 4 epochs: half goes after the first, half of that later


def convolutions(keras: Any) -> Any:
    """With groups: of 12 inputs, which become 6, so few that whole groups would go; of 4; and statistics over them."""
    L = keras.layers
    inputs = L.Input((6, 6, 3))
    x = L.Conv2D(24, 3, name="stem")(inputs)
    x = L.Conv2D(24, 1, groups=2, activation="relu", name="many")(x)
    x = L.Conv2D(32, 3, groups=8, name="few")(L.Conv2D(32, 1, name="back")(x))
    x = L.Activation("relu")(L.GroupNormalization(4, name="norm")(L.Conv2D(16, 1, name="last")(x)))
    return keras.Model(inputs, L.Dense(3, name="logits")(L.GlobalAveragePooling2D()(x))), IMAGES


def block(keras: Any) -> Any:
    """Of a transformer: statistics over channels, and scores that are divided by the root of their number."""
    L = keras.layers
    inputs = L.Input((5, 12))
    x = L.Dense(16, name="embed")(inputs)
    y = L.LayerNormalization(name="norm")(x)
    x = L.Add()([x, L.MultiHeadAttention(4, 8, name="heads")(y, y)])
    x = L.Add()([x, L.Dense(16, name="back")(L.Dense(32, "gelu", name="wide")(x))])
    return keras.Model(inputs, L.Dense(3, name="logits")(L.GlobalAveragePooling1D()(x))), STEPS


WIDTHS = {  # of groups, before and after the two events, to multiples of outputs by 4
    convolutions: {"stem": (12, 6, 4), "back": (8, 4, 2), "last": (4, 2, 1)},
    block: {"embed": (16, 8, 4), "heads/num_heads": (4, 2, 1), "heads/key_dim": (8, 4, 2), "wide": (32, 16, 8)},
}


def compiled(keras: Any, build: Any) -> Any:
    keras.utils.set_random_seed(0)
    model, x = build(keras)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, x


def check(keras: Any, build: Any) -> None:
    """Compares a training that removes channels with fits and cuts by hand, and with cutting once."""
    model, x = compiled(keras, build)
    adapter = adapter_of(model)
    given = {"granularity": "filter", "channels": {"multiple": 4}, "settings": HALVES, "epochs": 4, "verbose": 0}
    evaluated = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            evaluated.append(self.model.evaluate(x[:9], CLASSES[:9], verbose=0))

    validated = {"validation_data": (x[:9], CLASSES[:9]), "callbacks": [Watch()]}
    result = tfprune.train(model, (x, CLASSES), shuffle=False, **validated, **given)
    # Of statistics over channels, too, what is validated is what goes on.
    np.testing.assert_allclose([row["val_loss"] for row in result.history[:-1]], evaluated[1:], rtol=1e-5)
    hand, _ = compiled(keras, build)
    found = channels(hand)
    sizes = {name: len(group) for name, group in found.free.items()}
    assert {name: sizes[name] for name in WIDTHS[build]} == {name: own[0] for name, own in WIDTHS[build].items()}
    for epoch in (1, 2):
        hand.fit(x, CLASSES, initial_epoch=epoch - 1, epochs=epoch, shuffle=False, verbose=0)
        adapter.sync(hand)
        multiples = {name: group.step(4) for name, group in found.free.items()}
        widths = expected_widths(sizes, [PruningEvent(rate=0.5)] * epoch, multiples)
        assert {name: widths[name] for name in WIDTHS[build]} == {name: o[epoch] for name, o in WIDTHS[build].items()}
        gone = least_important(CRITERIA["l1"](hand, found, 0, None), widths, found)
        hand, found = take_out(hand, gone, found)
    hand.fit(x, CLASSES, initial_epoch=2, epochs=4, shuffle=False, verbose=0)
    adapter.sync(hand)
    assert not result.missed and int(result.model.optimizer.iterations) == 4
    for own, same in zip(result.model.get_weights(), hand.get_weights(), strict=True):
        np.testing.assert_array_equal(own, same)
    for one, other in zip(result.model.trainable_weights, hand.trainable_weights, strict=True):
        for slot, same in zip(
            adapter.slots(result.model.optimizer, one), adapter.slots(hand.optimizer, other), strict=True
        ):
            np.testing.assert_array_equal(slot, same)
    once = remove_groups(model, result.removed)
    once.set_weights(result.model.get_weights())
    graphs = adapter.graphs
    for one, other in zip(*(graphs.call(own, x[:2]) for own in (once, result.model)), strict=True):
        np.testing.assert_array_equal(one, other)
