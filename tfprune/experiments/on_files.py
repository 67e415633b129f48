"""Pruning and shrinking model files without a run: from a file to another, with what it came to.

What needs TensorFlow is imported where it is used: a model of Keras 3 on JAX or PyTorch is pruned without.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.prune_once import prune
from tfprune.data._base import Data, Split
from tfprune.exporting.conversion import chosen_format
from tfprune.exporting.model_files import ModelFile, Size, check_target, read_model, size_in_file, size_of, write_model
from tfprune.exporting.named import examples_like
from tfprune.pruning.counts import path_bytes
from tfprune.training.config import Config
from tfprune.training.finetuning import Fitted, accuracy, finetune, fitted, library_of
from tfprune.utils.errors import ModelError, SparsityError
from tfprune.utils.text import percent

if TYPE_CHECKING:
    from tfprune.exporting.any_model import Export

EXAMPLES = 256  # that an exported file is compared on, and that criteria look at


@dataclasses.dataclass(frozen=True)
class Training:
    """A data set to measure accuracy on, and to train what is left on.

    Attributes:
        data: its splits.
        epochs: passes over the training split after pruning; 0 only measures.
        batch_size, optimizer, settings, seed: of that training, see `finetune`.
        rescale: see `fitted`.
    """

    data: Data
    epochs: int
    batch_size: int
    optimizer: str
    settings: Mapping[str, Any]
    seed: int
    rescale: str = "auto"


@dataclasses.dataclass(frozen=True)
class Written:
    """What came of a model's file.

    Attributes:
        source: the model's file, and the new model.
        path: the new file.
        before, after: what both come to.
        accuracies: on the test split, in [0, 1]: `before`, `after` pruning and, after training, `tuned`.
        remark: why the outputs of the new file were not compared; "" where they were.
        data: what the accuracies are of, and what is odd about them; "" without a data set.
    """

    source: ModelFile
    path: Path
    before: Size
    after: Size
    accuracies: Mapping[str, float]
    remark: str
    data: str = ""

    @property
    def optimizer_bytes(self) -> int:
        """Bytes of the model's file beyond the model, as those of an optimizer's state; 0 where they are few."""
        more = path_bytes(self.source.path)["raw"] - self.before.raw
        return more if more > self.before.raw / 10 + 4096 else 0


def prune_file(
    path: Path,
    out: Path,
    *,
    force: bool = False,
    training: Callable[[], Training] | None = None,
    check: Callable[[ModelFile], None] = lambda found: None,
    **settings: Any,
) -> Written:
    """Zeroes weights of a model in a file, and writes the sparse model in the same format.

    Args:
        path: the model's file, see `read_model`.
        out: the file to write.
        force: whether a file that is there may be replaced.
        training: gives a data set, which is not loaded before it is known that `out` may be written.
        check: looks at the model before anything is done with it.
        settings: of `tfprune.prune`.

    Raises:
        TfpruneError: something that the user can fix; nothing was written.
    """
    check_target(out, path, force=force)
    source = read_model(path)
    check(source)
    model, include = source.model, settings.get("include", ())
    before, adapter = size_in_file(model, out, include), adapter_of(source.model)
    known = training and training()
    found, accuracies = _measured(model, known)
    if known and known.epochs:
        adapter.attach(model, settings.get("exclude", ()), include)  # masks that stay while it is trained
    prune(model, in_place=True, **settings)
    if known and found:
        accuracies["after"] = accuracy(model, found, known.data.test)
        if known.epochs:
            zeros = _zeros(model, include)
            _train(model, found, known)
            if _zeros(model, include) < zeros:
                raise SparsityError(f"{path}: weights that were pruned are not zero after the training")
            model = adapter.copy(model)  # an ordinary one, not compiled
            accuracies["tuned"] = accuracy(model, found, known.data.test)
    remark = write_model(model, out, force=force)
    after, source = size_of(model, out, include), dataclasses.replace(source, model=model)
    return Written(source, out, before, after, accuracies, remark, _told(known, found, accuracies))


def shrink_file(
    path: Path,
    out: Path,
    *,
    force: bool = False,
    training: Callable[[], Training] | None = None,
    check: Callable[[ModelFile], None] = lambda found: None,
    **settings: Any,
) -> Written:
    """Removes filters and units, or branches, of a model in a file; writes the smaller model in the same format.

    Args:
        path, out, force, training, check: as for `prune_file`.
        settings: of `tfprune.shrink`. Criteria that look at the loss, and a target of time, take training examples of
            the data set, and the loss for what the model returns.
    """
    from tfprune.exporting.shrinking import shrink

    check_target(out, path, force=force)
    source = read_model(path)
    check(source)
    if not all(np.all(np.isfinite(own)) for own in source.model.get_weights() if np.asarray(own).dtype.kind == "f"):
        raise ModelError(f"{path}: it has weights that are no finite numbers, which cannot be ranked")
    model, before, adapter = source.model, size_in_file(source.model, out), adapter_of(source.model)
    known = training and training()
    found, accuracies = _measured(model, known)
    if known and found:
        part = known.data.train.first(EXAMPLES)
        settings["data"] = (found.inputs(part), part.y)
        model.compile("sgd", found.loss(library_of(model)))
    model = adapter.copy(shrink(model, **settings))  # not compiled
    if known and found:
        accuracies["after"] = accuracy(model, found, known.data.test)
        if known.epochs:
            _train(model, found, known)
            model = adapter.copy(model)
            accuracies["tuned"] = accuracy(model, found, known.data.test)
    remark = write_model(model, out, force=force)
    after, source = size_of(model, out), dataclasses.replace(source, model=model)
    return Written(source, out, before, after, accuracies, remark, _told(known, found, accuracies))


def export_file(
    path: Path,
    out: Path,
    name: str,
    quantize: str,
    *,
    config: Config | None = None,
    rescale: str = "auto",
    force: bool = False,
    check: Callable[[ModelFile], None] = lambda found: None,
) -> Export:
    """Writes the model of a file in another format.

    Args:
        path: the model's file, see `read_model`.
        out: file or folder to write.
        name, quantize: see `tfprune.export`.
        config: says which data to compare on, and to calibrate int8 with; None makes some numbers up.
        rescale: see `fitted`.
        force: whether a file that is there may be replaced.
        check: looks at the model before anything is done with it.

    Raises:
        TfpruneError: something that the user can fix; nothing was written.
    """
    from tfprune.experiments.run_data import load_data
    from tfprune.exporting.any_model import export

    chosen_format(name, quantize, out)
    check_target(out, path, force=force, same_form=False)
    source = read_model(path)
    check(source)
    if config is None:
        examples: Any = examples_like(source.model, EXAMPLES)
    else:
        data = load_data(config)
        found = fitted(source.model, data, rescale)
        chosen = np.sort(np.random.default_rng(0).permutation(len(data.train))[:EXAMPLES])
        examples = found.inputs(Split(data.train.x[chosen], data.train.y[chosen]))
    return export(source.model, out, examples, format=name, quantize=quantize)


def _measured(model: Any, known: Training | None) -> tuple[Fitted | None, dict[str, float]]:
    if known is None:
        return None, {}
    found = fitted(model, known.data, known.rescale)
    return found, {"before": accuracy(model, found, known.data.test)}


def _told(known: Training | None, found: Fitted | None, accuracies: Mapping[str, float]) -> str:
    """Returns how a data set was taken, and whether the model seems to know it at all."""
    if known is None or found is None:
        return ""
    counts = known.data.class_counts()["test"]
    usual = max(counts.values()) / max(1, sum(counts.values()))
    scaled = {"unit": "images were scaled to [0, 1]", "signed": "images were scaled to [-1, 1]"}.get(found.rescale, "")
    if accuracies["before"] > usual:
        return scaled
    right, most = percent(accuracies["before"]), percent(usual)
    odd = (
        f"before, the model was right in {right} of the test split, and one answer for all is in {most}: does it know "
        "these classes in this order, and images scaled like this (--rescale)?"
    )
    return f"{scaled}; {odd}" if scaled else odd


def _train(model: Any, found: Fitted, known: Training) -> None:
    finetune(
        model,
        found,
        epochs=known.epochs,
        batch_size=known.batch_size,
        optimizer=known.optimizer,
        settings=known.settings,
        seed=known.seed,
    )


def _zeros(model: Any, include: Any) -> int:
    return sum(layer.zeros for layer in adapter_of(model).layers(model, include))
