"""Callbacks of either Keras made of objects that know of no framework. Imports none; the library is handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

HOOKS = (
    *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin"),
    *("on_train_batch_end", "on_test_begin", "on_test_end"),
)


def callback_of(library: Any, listener: Any) -> Any:
    """Returns a callback of a Keras that calls a listener's methods of the names of its hooks.

    Args:
        library: `tf_keras` or `keras`.
        listener: see `adapters.base.Adapter.callback`.
    """
    base = library.callbacks.Callback

    def set_model(self: Any, model: Any) -> None:
        base.set_model(self, model)
        listener.model = model

    def set_params(self: Any, params: Mapping[str, Any]) -> None:
        base.set_params(self, params)
        listener.params = params

    members: dict[str, Any] = {"set_model": set_model, "set_params": set_params, "listener": listener}
    members |= {name: _forward(getattr(listener, name)) for name in HOOKS if hasattr(listener, name)}
    if hasattr(listener, "on_fit_end"):
        begin = members.get("on_train_begin", lambda self, logs=None: None)
        end = members.get("on_train_end", lambda self, logs=None: None)

        def on_train_begin(self: Any, logs: Any = None) -> None:
            self.alone = not _begins(getattr(listener.model, "history", None))
            if not self.alone:
                _call_last(listener.model.history, listener.on_fit_end)
            begin(self, logs)

        def on_train_end(self: Any, logs: Any = None) -> None:
            end(self, logs)
            if self.alone:
                listener.on_fit_end()

        members |= {"on_train_begin": on_train_begin, "on_train_end": on_train_end}
    return type(type(listener).__name__, (base,), members)()


def _forward(method: Callable[..., Any]) -> Callable[..., Any]:
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return hook


def _begins(history: Any) -> bool:
    """Returns whether a `History` follows the training that begins; a loop of one's own has none, or an old one."""
    return history is not None and not getattr(history, "epoch", [])


def _call_last(history: Any, function: Callable[[], None]) -> None:
    """Has a function called at the end of a `fit`, after the last of its callbacks, which is Keras' own `History`."""
    own = history.on_train_end

    def on_train_end(logs: Any = None) -> None:
        vars(history).pop("on_train_end", None)
        own(logs)
        function()

    vars(history)["on_train_end"] = on_train_end
