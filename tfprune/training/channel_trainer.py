"""Training that removes channels or residual branches: at each event the model is rebuilt smaller and carries on.

What listens to a training sees one training: what goes is zeroed first, in the same place where single
weights would be, and taken out when the epoch has ended. Keras cannot change the model of a `fit`, so that there is one
for each stretch between events.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.wrapping import (
    kernel_variables,
    leaf_layers,
    multiplications,
    prunable_names,
    set_weights,
)
from tfprune.data._base import Data
from tfprune.pruning.counts import sparsity
from tfprune.pruning.events import Cut
from tfprune.structured.branches import BRANCHES, Branches, branches
from tfprune.structured.branches import CRITERIA as OF_BRANCHES
from tfprune.structured.channels import Channels, Group, channels
from tfprune.structured.shrinking import CRITERIA, least_important
from tfprune.structured.surgery import Axes, Removed, kept, labels_of, masked, parts, untrained, weight_axes, without
from tfprune.structured.widths import check_widths, expected_widths, width
from tfprune.training.callbacks import Throughout
from tfprune.training.config import Config
from tfprune.training.resuming import Place, operation
from tfprune.training.trainer import Trainer
from tfprune.utils.errors import ModelError, SparsityError, TrainingError
from tfprune.utils.seeds import derive

log = logging.getLogger(__name__)

OF_CHANNELS = {
    "random": "random",
    "snip": "taylor",
}  # criteria of methods that have one for channels beside the run's own
TAYLOR_EXAMPLES = 512  # of the training split, that criterion `taylor` sees at an event
RECALIBRATION_BATCH = 128


def removable(model: keras.Model, spare: Sequence[str] = (), granularity: str = "filter") -> Channels:
    """Returns the channels of a model, or of granularity `branch` its residual branches.

    Groups that a spared layer makes are protected. Branches are one group, of which those with a spared layer stay,
    see `_least_important`.

    Raises:
        ModelError: nothing can go, or `spare` names a layer that is not there.
    """
    spared = set(prunable_names(model)) - set(prunable_names(model, spare)) if spare else set()
    if granularity == "branch":
        found, what = branches(model), "residual branches"
    else:
        found, what = channels(model), "channels"
        groups = [dataclasses.replace(group, protected=_reason(group, spared)) for group in found.groups]
        found = dataclasses.replace(found, groups=tuple(groups))
    if not found.free:
        reasons = "; ".join(f"{group.name}: {group.protected}" for group in found.groups)
        raise ModelError(f"model {model.name} has no {what} that can go ({reasons or 'no layer has a width'})")
    return found


def _reason(group: Group, spared: Collection[str]) -> str | None:
    names = [name for name in group.producers if name.rpartition("/")[2] in spared]
    return group.protected or (f"{names[0]} is spared" if names else None)


def narrower(model: keras.Model, share: float, config: Config) -> keras.Model:
    """Returns a dense network with new initial weights and the widths that pruning a share of the channels leaves.

    Of branches those go that `channels.order` names, and then the last ones.
    """
    found = removable(model, config.spare, config.granularity)
    if isinstance(found, Branches):
        _check_branches(model, found, config)
    multiple = multiple_of(config)
    widths = {name: width(len(group), 1 - share, multiple) for name, group in found.free.items()}
    made = untrained(model, last_ones(model, found, widths, config))
    if config.channel_settings.get("dropout") == "scale":
        Dropouts(model).scale(made)
    return made


def multiple_of(config: Config) -> int:
    """Returns what widths are rounded to a multiple of; branches are counted one by one."""
    return config.channel_settings.get("multiple", 1)


def last_ones(model: keras.Model, found: Channels, widths: Mapping[str, int], config: Config) -> Removed:
    """Returns what goes so that `widths` are left if nothing is known of a network but its form."""
    scores = {name: -np.arange(len(group)) for name, group in found.free.items()}
    return _least_important(model, found, scores, widths, config)


def _least_important(
    model: keras.Model, found: Channels, scores: Mapping[str, np.ndarray], widths: Mapping[str, int], config: Config
) -> Removed:
    """Returns what goes so that `widths` are left. Branches of `channels.order` go first, and spared ones never."""
    if not isinstance(found, Branches):
        return least_important(scores, widths)
    ranks = np.empty(len(found.names))
    ranks[np.argsort(scores[BRANCHES], kind="stable")] = np.arange(len(ranks))
    order = [name for name in config.channel_settings["order"] if name in found.names]
    ranks[found.labels(order)] = np.arange(len(order)) - len(order)
    ranks[_spared(model, found, config)] = np.inf
    return {BRANCHES: [found.names[label] for label in least_important({BRANCHES: ranks}, widths)[BRANCHES]]}


def _check_branches(model: keras.Model, found: Branches, config: Config) -> None:
    """Raises `ModelError` if there are not the branches that are to go."""
    found.labels(config.channel_settings["order"])
    size, spared = len(found.names), len(_spared(model, found, config))
    if size < 2:
        raise ModelError(f"model {model.name} has one residual branch, and one stays: take granularity filter")
    stay = width(size, 1 - config.requested_sparsity, 1)
    if stay < spared:
        raise ModelError(
            f"{size - stay} of {size} residual branches would go, and {spared} are spared: ask for a lower sparsity or "
            "spare fewer layers"
        )


def _spared(model: keras.Model, found: Branches, config: Config) -> list[int]:
    if not config.spare:
        return []
    return found.spared({*prunable_names(model)} - {*prunable_names(model, config.spare)})


class Dropouts:
    """The layers of a model that drop activations out, and how fewer channels change their rates.

    A rate is multiplied by the share that is left of the layer's inputs: a rate that suits a wide layer is too high for
    a narrow one. Han et al. 2015 (arXiv:1506.02626) take the root of the share of connections that is left, which is
    the same where the layers on both sides lose the same share.

    Args:
        model: as it was built.
    """

    def __init__(self, model: keras.Model) -> None:
        self._known = {layer.name: (layer.rate, layer.get_input_shape_at(0)[-1]) for layer in _dropouts(model)}

    def scale(self, smaller: keras.Model) -> None:
        """Sets the rates of a narrower version of the model, before its training step is compiled."""
        for layer in _dropouts(smaller):
            rate, inputs = self._known[layer.name]
            layer.rate = rate * layer.get_input_shape_at(0)[-1] / inputs


def _dropouts(model: keras.Model) -> list[keras.layers.Dropout]:
    return [layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.Dropout)]


def recalibrate(model: keras.Model, inputs: np.ndarray) -> None:
    """Takes BatchNorm's moving statistics anew, from examples: when channels have gone, the old ones are off.

    They become the means, over batches, of what the layers see with nothing dropped out (Li et al. 2020, EagleEye,
    arXiv:2007.02491).

    Args:
        model: changed in place.
        inputs: examples.
    """
    norms = [layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta, rates = [layer.momentum for layer in norms], [layer.rate for layer in _dropouts(model)]
    for layer in _dropouts(model):
        layer.rate = 0.0
    for number, start in enumerate(range(0, len(inputs), RECALIBRATION_BATCH)):
        for layer in norms:
            layer.momentum = number / (number + 1)  # so that all batches count alike
        model(inputs[start : start + RECALIBRATION_BATCH], training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    for layer, rate in zip(_dropouts(model), rates, strict=True):
        layer.rate = rate


class Ledger:
    """Which channels or branches of a model have gone, in the numbers that they had when it was built.

    Args:
        model: as it was built.
        config: the run's settings.

    Attributes:
        sizes: group -> how many channels it had.
        alive: group -> which of them are left.
        left_alone: group -> why none of it goes.
        parameters: of the model as it was built.
        kernel_sizes, multiplications: kernel -> its weights and its multiply-adds, as it was built.
    """

    def __init__(self, model: keras.Model, config: Config) -> None:
        found = removable(model, config.spare, config.granularity)
        self._found = found
        self._axes, self._owners = weight_axes(model, found), _owners(model)
        self._kernels = {
            name: (tuple(kernel.shape), found.axes.get(id(kernel), {}))
            for name, kernel in kernel_variables(model).items()
        }
        self.sizes = {name: len(group) for name, group in found.free.items()}
        self.alive = {name: np.arange(size) for name, size in self.sizes.items()}
        multiple = multiple_of(config)
        self.left_alone = {group.name: group.protected for group in found.groups if group.protected} | {
            name: f"it has {size} channels, no more than the multiple of {multiple} that widths are rounded to"
            for name, size in self.sizes.items()
            if size <= multiple
        }
        if isinstance(found, Branches):
            self.left_alone = {found.names[label]: "a layer of it is spared" for label in _spared(model, found, config)}
            if config.pruning.cuts:
                _check_branches(model, found, config)
        self.kernel_sizes = {name: int(np.prod(shape)) for name, (shape, _) in self._kernels.items()}
        self._shapes = [tuple(weight.shape) for layer in model.layers for weight in layer.weights]
        self.parameters = model.count_params()
        self.multiplications = {name: count for name, (count, _) in multiplications(model).items()}

    def remove(self, places: Removed) -> None:
        """Notes what goes: channels by their places among those that are left, branches by their names."""
        self.alive = {name: self._left(name, places) for name in self.alive}

    def _left(self, name: str, places: Removed) -> np.ndarray:
        gone = places.get(name, ())
        if isinstance(self._found, Branches):
            return np.setdiff1d(self.alive[name], self._found.labels(gone))
        return np.delete(self.alive[name], gone)

    def alive_without(self, places: Removed) -> dict[str, np.ndarray]:
        """Returns group -> which of the channels that it had would be left without those in `places`, uint8."""
        alive = {name: np.zeros(size, np.uint8) for name, size in self.sizes.items()}
        for name in alive:
            alive[name][self._left(name, places)] = 1
        return alive

    @property
    def removed(self) -> dict[str, list[int]] | dict[str, list[str]]:
        """Group -> the channels that have gone, as `surgery.without` takes them of the model as it was built."""
        if isinstance(self._found, Branches):
            alive = self.alive[BRANCHES]
            gone = [name for label, name in enumerate(self._found.names) if label not in alive]
            return {BRANCHES: gone} if gone else {}
        return {
            name: np.setdiff1d(np.arange(size), self.alive[name]).tolist()
            for name, size in self.sizes.items()
            if len(self.alive[name]) < size
        }

    @property
    def widths(self) -> dict[str, int]:
        """Group -> how many channels are left."""
        return {name: len(own) for name, own in self.alive.items()}

    @property
    def share(self) -> float:
        """The share of all channels that can go which has gone, in [0, 1)."""
        return 1 - sum(self.widths.values()) / sum(self.sizes.values())

    def masks(self) -> dict[str, np.ndarray]:
        """Returns what lives of the kernels as they were built, uint8."""
        gone, masks = self._gone(), {}
        for name, (shape, axes) in self._kernels.items():
            masks[name] = np.ones(shape, np.uint8)
            for axis, labels in axes.items():
                np.moveaxis(masks[name], axis, 0)[np.isin(labels, gone)] = 0
        return masks

    def cut(self, weights: Sequence[np.ndarray], smaller: keras.Model) -> list[np.ndarray]:
        """Returns weights of the model as it was built (see `wrapping.get_weights`) without what went, as those of the
        model that is left."""
        return _cut_down(weights, self._owners, self._axes, self._gone(), smaller)

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes that the kernels have without what went; those of branches that went are left out."""
        gone = self._gone()
        shapes = {name: _left(shape, axes, gone) for name, (shape, axes) in self._kernels.items()}
        return {name: shape for name, shape in shapes.items() if np.prod(shape)}

    def parameters_left(self) -> int:
        """Returns how many numbers the model has without the channels that went."""
        gone = self._gone()
        return sum(int(np.prod(_left(*own, gone))) for own in zip(self._shapes, self._axes, strict=True))

    def producers(self) -> dict[str, tuple[str, ...]]:
        """Group that can lose channels -> the layers that make them; of branches their names."""
        return {name: group.producers for name, group in self._found.free.items()}

    def _gone(self) -> np.ndarray:
        return labels_of(self._found, self.removed)


def _cut_down(
    weights: Sequence[np.ndarray], owners: Sequence[str], axes: Sequence[Axes], gone: np.ndarray, smaller: keras.Model
) -> list[np.ndarray]:
    """Returns weights without what went, in the order of the smaller model, whose layers may have another one.

    Args:
        weights: of the larger model.
        owners: the names of their layers.
        axes: their channels.
        gone: the labels of those that went.
        smaller: the model without them.
    """
    left: dict[str, list[np.ndarray]] = {}
    for array, owner, own in zip(weights, owners, axes, strict=True):
        left.setdefault(owner, []).append(kept(array, own, gone))
    return [array for layer in smaller.layers for array in left.get(layer.name, ())]


def _owners(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers for _ in layer.weights]


def _left(shape: tuple[int, ...], axes: Axes, gone: np.ndarray) -> tuple[int, ...]:
    return tuple(size - int(np.isin(axes.get(axis, ()), gone).sum()) for axis, size in enumerate(shape))


class ChannelTrainer(Trainer):
    """The `Task` of a method that removes channels or residual branches.

    Args:
        model: a plain functional model.
        data, config, tensorboard, dense, redraw: as for `Trainer`.

    Attributes:
        ledger: which channels have gone.

    Raises:
        ModelError: no channel of the model can go, or not by the run's criterion.
    """

    def __init__(self, model: keras.Model, data: Data, config: Config, *args: Any, **kwargs: Any) -> None:
        self.ledger = Ledger(model, config)
        self._dropouts = Dropouts(model) if config.channel_settings.get("dropout") == "scale" else None
        self._cuts: list[Cut] = []
        self._marked: Removed = {}  # zeroed, and to be taken out when the epoch has ended
        self._within_fit = False
        super().__init__(model, data, config.replace(loop="plain"), *args, **kwargs)
        self.config = config
        if config.channel_settings["criterion"] == "bn":
            self._scores(self._removable(), "bn")  # now, not after epochs of training
        for name, reason in self.ledger.left_alone.items():
            log.info("Left alone: %s: %s", name, reason)

    def _removable(self) -> Channels:
        return removable(self.model, self.config.spare, self.config.granularity)

    def _cut(self, cut: Cut) -> None:
        """Removes the least important channels of each group, or branches; in a training when its epoch has ended."""
        self.pruner.prunings += 1
        found = self._removable()
        criterion = OF_CHANNELS.get(cut.criterion.name, self.config.channel_settings["criterion"])
        widths = expected_widths(self.ledger.sizes, [*self._cuts, cut], multiple_of(self.config))
        widths = {name: min(count, len(self.ledger.alive[name])) for name, count in widths.items()}
        scores = self._scores(found, criterion)
        if cut.criterion.inverted:
            scores = {name: -own for name, own in scores.items()}
        marked = _least_important(self.model, found, scores, widths, self.config)
        settling = self.pruner.settling[0]
        if cut.settled is not None and not settling.settled(self.ledger.alive_without(marked), cut.settled):
            self._levels.append(self.forward_masked)
            return
        self._cuts.append(cut)
        self._marked = marked
        masked(self.model, self._marked)
        if count := self.config.channel_settings["recalibrate"]:
            chosen = self.pruner.random("recalibration").permutation(len(self.data.train))[:count]
            recalibrate(self.model, np.asarray(self.data.train.x[chosen]))
        self.ledger.remove(self._marked)
        self._levels.append(self.forward_masked)
        if not self._within_fit:
            self._take_out()

    def _scores(self, found: Channels, criterion: str) -> Mapping[str, np.ndarray]:
        random = self.pruner.random("channels")
        chosen = random.permutation(len(self.data.train))[:TAYLOR_EXAMPLES]
        examples = (np.asarray(self.data.train.x[chosen]), self.data.train.y[chosen])
        seed = derive(self.config.seed, f"channels {self.pruner.prunings}")
        if isinstance(found, Branches):
            scores = {BRANCHES: OF_BRANCHES[criterion](self.model, found, seed, examples)}
        else:
            scores = CRITERIA[criterion](self.model, found, seed, examples)
        scores = self._crew.of_chief(scores)
        for name, own in scores.items():
            if not np.all(np.isfinite(own)):
                raise TrainingError(f"{name} is no longer finite where it is to be pruned; try a lower --learning-rate")
        return scores

    def _take_out(self) -> None:
        marked, self._marked = self._marked, {}
        if not any(len(places) for places in marked.values()):
            return
        found = parts(self.model, marked)
        gone, axes, owners = labels_of(found, marked), weight_axes(self.model, found), _owners(self.model)
        slots_kept = self.config.channel_settings["slots"] == "keep"
        with self.model.distribute_strategy.scope():
            smaller = without(self.model, marked, compiled=self._compile_anew, slots_kept=slots_kept)
        for rewinding in self._rewindings:
            if rewinding.remembered is not None:
                rewinding.remembered = _cut_down(rewinding.remembered, owners, axes, gone, smaller)
        self._narrowed(smaller)
        what = "residual branches" if self.config.granularity == "branch" else "channels"
        log.info("%.1f %% of the %s are gone: %s", 100 * self.ledger.share, what, self.ledger.widths)

    def _narrowed(self, smaller: keras.Model) -> None:
        self.model = smaller
        self.forward = sum(count for count, _ in multiplications(smaller).values())
        if self._dropouts:
            self._dropouts.scale(smaller)

    def _start(self, *args: Any, **kwargs: Any) -> None:
        self._started = args, kwargs
        super()._start(*args, **kwargs)

    def _compile_anew(self, smaller: keras.Model) -> None:
        """Compiles a smaller model as its predecessor was when its training started; its optimizer then takes over."""
        self.model = smaller
        args, kwargs = self._started
        super()._start(*args, **kwargs)

    def _fit_plain(
        self, initial_epoch: int, place: Place, logged: Sequence[int], events: Mapping[int, Cut], callbacks: Sequence
    ) -> None:
        listening = Throughout(callbacks)
        ends = [end for end in sorted({*events, self.epochs}) if end > place.epoch]
        for start, end in zip([place, *map(Place, ends)], ends, strict=False):
            self._within_fit = True
            try:
                self._fit_stretch(start, end, logged, [listening])
            finally:
                self._within_fit = False
            self._take_out()
        listening.set_model(self.model)
        listening.end()

    def structure(self) -> dict[str, Any]:
        return {"removed": self.ledger.removed, "cuts": [dataclasses.asdict(cut) for cut in self._cuts]}

    def rebuild(self, structure: Mapping[str, Any]) -> None:
        self._cuts = [Cut.from_dict(cut) for cut in structure["cuts"]]
        if structure["removed"]:
            self.ledger.remove(structure["removed"])
            with self.model.distribute_strategy.scope():
                smaller = without(self.model, structure["removed"])
            self._narrowed(smaller)

    @property
    def form_is_settled(self) -> bool:
        return not self._marked

    @operation
    def reinitialise(self) -> None:
        set_weights(self.model, self.ledger.cut(self._redraw(), self.model))

    def masks(self) -> dict[str, np.ndarray]:
        return self.ledger.masks()

    def sparsity(self) -> float:
        return self.ledger.share

    @property
    def forward_masked(self) -> int:
        counts, masks = self.ledger.multiplications, self.ledger.masks()
        alive = {name: np.mean(mask, dtype=np.float64) for name, mask in masks.items()}
        return round(sum(count * alive.get(name, 1.0) for name, count in counts.items()))

    @property
    def trained(self) -> int:
        return self.trained_masked

    def check(self, kernels: Mapping[str, np.ndarray], where: str) -> None:
        expected = expected_widths(self.ledger.sizes, self.config.pruning.cuts, multiple_of(self.config))
        check_widths(self.ledger.widths, expected, where)
        shapes = self.ledger.kernel_shapes()
        if still_there := ({*self.ledger.kernel_sizes} - {*shapes}) & {*kernels}:
            raise SparsityError(f"{where}: {', '.join(sorted(still_there))} is still there")
        for name, shape in shapes.items():
            if kernels[name].shape != shape:
                raise SparsityError(f"{where}: {name} has the shape {kernels[name].shape} where {shape} was asked for")

    def report(self) -> dict[str, Any]:
        ledger, settings = self.ledger, self.config.channel_settings
        requested = self.config.requested_sparsity if self.config.pruning.cuts else 0.0
        groups = {
            name: {"layers": list(layers), "before": ledger.sizes[name], "after": ledger.widths[name]}
            for name, layers in ledger.producers().items()
        }
        if BRANCHES in groups:
            groups[BRANCHES]["gone"] = ledger.removed.get(BRANCHES, [])
        return {
            "sparsity": sparsity(requested, ledger.masks()) | {"achieved": ledger.share},
            "channels": {
                "criterion": settings["criterion"],
                "multiple": multiple_of(self.config),
                "groups": groups,
                "left_alone": ledger.left_alone,
                "parameters": {"before": ledger.parameters, "after": self.model.count_params()},
                "macs": {"before": sum(ledger.multiplications.values()), "after": self.forward},
            },
        }
