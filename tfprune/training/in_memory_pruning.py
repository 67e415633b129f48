"""What prunes a person's own model in memory, in a training of theirs or of ours."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of, put_back
from tfprune.adapters.base import MaskedModel
from tfprune.adapters.batches import Batch
from tfprune.methods._dry_run import Training
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.pruning.masks import ones_like, revived, sparsity_of
from tfprune.pruning.scores import ScoringContext
from tfprune.pruning.update import update_masks
from tfprune.training.examples import first_examples
from tfprune.training.pruner import Pruner
from tfprune.training.resolving import ResolvedMethod
from tfprune.utils.checks import check_whole
from tfprune.utils.errors import ConfigError
from tfprune.utils.seeds import derive

log = logging.getLogger(__name__)


class InMemoryPruning:
    """A model that is masked in place, and what a method does to it outside of trainings.

    Args:
        model: of any framework that there is an adapter for.
        asked: the method.
        exclude: names of layers that are never pruned.
        include: names of weights of other layers that are.
        seed: of what the method draws.
        data: for criteria that look at some, see `examples.first_examples`.

    Attributes:
        pruner: holds its masks.
    """

    def __init__(
        self,
        model: Any,
        asked: ResolvedMethod,
        *,
        exclude: Collection[str] = (),
        include: Collection[str] = (),
        seed: int = 0,
        data: Any = None,
    ) -> None:
        self.model = model
        self.asked = asked
        self.adapter = adapter_of(model)
        self._seed = seed = check_whole("seed", seed, least=0)
        self._data = data
        self.pruner = Pruner(self._attached(exclude, include), asked.scope, asked.pattern, seeds=[seed])
        self._masks = self.adapter.masks(model)
        self._sharing: list[Any] = []
        self._told = False

    def _attached(self, exclude: Collection[str], include: Collection[str]) -> MaskedModel:
        gradients = self.adapter.gradients(self.model, self._examples)
        return self.adapter.attach(self.model, exclude, include, gradients)

    def prune(self, event: PruningEvent) -> None:
        """Cuts the model as it stands."""
        self._cut(event)

    def apply_event(self, event: PruningEvent, lr_factor: float = 1.0) -> None:
        """Cuts the model in the middle of a training, and multiplies the learning rate."""
        self._cut(event)
        if lr_factor != 1.0:
            self.adapter.set_learning_rate(self.model, self.adapter.learning_rate(self.model) * lr_factor)

    def _cut(self, event: PruningEvent) -> None:
        self.pruner.prune(event)
        self.adapter.compile_steps_anew(self._sharing)

    def heed_others(self) -> None:
        """Lets other models in memory that share kernels with this one go by its masks too."""
        self._sharing = self.adapter.sharing(self.model)
        self.adapter.compile_steps_anew(self._sharing)

    def shuffle_masks(self) -> None:
        """Moves the ones of each mask to places drawn at random, within their kernel."""
        self.pruner.shuffle()

    def reinitialise(self) -> None:
        """Re-initialises all weights with a new seed; masks are kept."""
        self.pruner.reinitialise(self._redrawn)

    def _redrawn(self) -> Sequence[np.ndarray]:
        return self.adapter.redraw(self.model, derive(self._seed, "reinit"))

    def keep(self) -> None:
        """Puts the masks on weights that came from elsewhere, as those that early stopping brings back."""
        put_back.tell(self.revived())
        self.pruner.model.set_masks(self.pruner.masks())
        put_back.forget(self.model)

    def look(self) -> None:
        """Masks weights that something else has moved than the optimizer which is held; says so the first time."""
        if not (count := self.revived()):
            return
        self.pruner.model.set_masks(self.pruner.masks())
        if not self._told:
            log.warning(
                "%d pruned weights were no longer zero at the end of an epoch: something else moves them than the "
                "optimizer that model %s is compiled with. They are zero again at the ends of epochs, not in between",
                *(count, self.model.name),
            )
        self._told = True

    def is_current(self) -> bool:
        """Returns whether the model's masks are these, and nobody has given it others since."""
        return self.adapter.masks(self.model) is self._masks

    def revived(self) -> int:
        """Returns how many pruned weights are not zero, as somebody has set them."""
        return revived(self.pruner.model.kernels(), self.pruner.masks())

    def adopt(self, before: Sequence[PruningEvent], events: Mapping[int, PruningEvent], epoch: int) -> int:
        """Takes the masks of a training that was begun elsewhere from the zeros of its weights.

        Where cuts let weights come back at zero, more is zero than is pruned, and any of that may be alive. Such a cut
        at the end of `epoch` may have been done or not: it is done anew, and what is zero is the first to go.

        Args:
            before: cuts before the first epoch.
            events: those at the ends of epochs, counted from 1.
            epoch: how many epochs have been done.

        Returns:
            The epoch whose cuts the weights have: the one before where they were saved at the end of `epoch` ahead of
            its cut, as by a `BackupAndRestore` that comes first among the callbacks.

        Raises:
            ConfigError: the zeros are not those that the cuts up to there leave.
        """
        passed = _passed(before, events, epoch)
        if not passed:
            return epoch
        kernels = {name: np.array(kernel) for name, kernel in self.pruner.model.kernels().items()}
        zeros = {name: (kernel != 0).astype(np.uint8) for name, kernel in kernels.items()}
        moving = any(event.regrow_fraction for event in passed)
        fits = np.greater_equal if moving else np.equal
        done_at = (epoch - 1, epoch) if moving else (epoch, epoch - 1)
        for done in done_at if epoch in events else (epoch,):
            cuts = _passed(before, events, done)
            certain = [event for event in cuts if event.stability_tolerance is None]
            for some in (cuts, certain):
                masks = self._masks_after(some, kernels)
                if all(np.all(fits(mask, zeros[name])) for name, mask in masks.items()):
                    self.pruner.model.set_masks(masks)
                    return done
        expected = sparsity_of(self._masks_after(passed, kernels))
        raise ConfigError(
            f"the training begins after epoch {epoch}, when {100 * expected:.1f} % of the kernel weights should have "
            f"been pruned and {100 * sparsity_of(zeros):.1f} % are: begin at epoch 0, or put back the weights of that "
            "epoch"
        )

    def _masks_after(self, events: Sequence[PruningEvent], kernels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns masks of the sizes that cuts lead to; what is zero goes first."""
        masks = ones_like(kernels)
        for event in events:
            cut = dataclasses.replace(
                event, criterion=Criterion("magnitude"), regrow_fraction=0.0, stability_tolerance=None
            )
            context = ScoringContext(kernels, masks, np.random.default_rng(0), _no_gradients)
            masks = update_masks(cut, context, self.asked.scope, self.asked.pattern)
        return masks

    def _examples(self, per_class: int) -> Batch:
        if self._data is None:
            raise ConfigError("this method ranks weights by gradients of the loss: give it training data, data=(x, y)")
        return first_examples(self._data, per_class, self.pruner.random("sample"))


def _passed(before: Sequence[PruningEvent], events: Mapping[int, PruningEvent], epoch: int) -> list[PruningEvent]:
    """Returns the cuts that are over when those at the end of an epoch are, in their order."""
    return [*before, *(event for at, event in sorted(events.items()) if at <= epoch)]


def tell_of_freed_zeros(model: Any, asked: ResolvedMethod) -> None:
    """Says in a warning if a training takes no heed of the masks that a model has from an earlier one."""
    if adapter_of(model).pruned(model) and (asked.removes or not isinstance(asked.steps()[0], PruningEvent)):
        log.warning(
            "model %s is pruned, and this training begins without its masks, so that zeros become other numbers: its "
            "own fit keeps them, and so does tfprune.train(model, data, method='magnitude_at_init') at its sparsity",
            model.name,
        )


def tell_of_other_optimizers(model: Any, asked: ResolvedMethod) -> None:
    """Says in a warning which optimizers of a model's own step a method cannot begin anew, or give another rate."""
    trainings = [step for step in asked.steps() if isinstance(step, Training)]
    if len(trainings) < 2 and all(own.lr_factor == 1.0 for own in trainings):
        return
    known = getattr(model, "optimizer", None)
    others = [name for name, own in vars(model).items() if hasattr(own, "apply_gradients") and own is not known]
    if others:
        log.warning(
            "method %s begins each training with an optimizer that has made no step, and sets its rate: that which "
            "model %s is compiled with; %s of its own go on as they are, with what they remember",
            *(asked.name, model.name, ", ".join(others)),
        )


def _no_gradients(kind: str, criterion: Criterion) -> Mapping[str, np.ndarray]:
    raise AssertionError("magnitudes need no gradients")
