"""When to prune: schedules in tfmot's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfprune.adapters.backend import keras, tf, tfmot
from tfprune.pruning.events import PruningEvent, nominal_sparsity
from tfprune.utils.errors import ConfigError


@keras.utils.register_keras_serializable("tfprune")
class PruneAtSteps(tfmot.sparsity.keras.PruningSchedule):
    """Prunes at chosen steps, in the middle of training, and nowhere else.

    As everywhere in tfmot a schedule is asked before each optimizer step, steps counted from 1; a
    cut "after step 200" is due when it is asked about step 201. It works under tfmot's own wrapper
    and callback too, which then count by a threshold instead of exactly.

    Args:
        events: number of the last step before the cut -> the cut.

    Raises:
        ConfigError: a step is not a positive whole number.
    """

    def __init__(self, events: Mapping[int, PruningEvent]) -> None:
        if any(step != int(step) or step < 1 for step in events):
            raise ConfigError(f"pruning steps must be whole numbers of at least 1, got {sorted(events)}")
        self.events = {int(step): events[step] for step in sorted(events)}

    def __call__(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns whether to prune before `step`, and to which overall sparsity in [0, 1)."""
        if not self.events:
            return tf.constant(False), tf.constant(0.0)
        step = tf.cast(step, tf.int64)
        past = tf.constant(list(self.events), tf.int64) < step
        events = list(self.events.values())
        levels = tf.constant([nominal_sparsity(events[:n]) for n in range(len(events) + 1)], tf.float32)
        due = tf.reduce_any(tf.equal(tf.constant(list(self.events), tf.int64) + 1, step))
        return due, levels[tf.reduce_sum(tf.cast(past, tf.int32))]

    def due(self, after: int, until: int) -> list[PruningEvent]:
        """Returns the cuts at steps in (after, until], in order."""
        return [event for step, event in self.events.items() if after < step <= until]

    def get_config(self) -> dict[str, Any]:
        """Returns the schedule in Keras' serialised form."""
        events = [{"step": step} | event.to_dict() for step, event in self.events.items()]
        return {"class_name": keras.utils.get_registered_name(type(self)), "config": {"cuts": events}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PruneAtSteps:
        """Reads what `get_config` wrote, with or without the class name around it."""
        events = config.get("config", config)["cuts"]
        return cls(
            {event["step"]: PruningEvent.from_dict({k: v for k, v in event.items() if k != "step"}) for event in events}
        )


def no_pruning() -> PruneAtSteps:
    """Returns the schedule that never prunes: masks change only when they are set by hand."""
    return PruneAtSteps({})
