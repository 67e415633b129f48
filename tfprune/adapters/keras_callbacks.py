"""Callbacks of either Keras made of objects that know of no framework. Imports none; the library is handed in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

LAST = "on_fit_end"
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
    hooks = tuple(name for name in (*HOOKS, LAST) if hasattr(listener, name))
    callback = _kind(library.callbacks.Callback, type(listener).__name__, hooks)()
    callback.listener = listener
    return callback


@functools.cache  # a class is never freed, and one of each callback would keep its model
def _kind(base: type, name: str, hooks: tuple[str, ...]) -> type:
    """Returns a class of callbacks that call the listener which they are given."""

    def set_model(self: Any, model: Any) -> None:
        base.set_model(self, model)
        self.listener.model = model

    def set_params(self: Any, params: Mapping[str, Any]) -> None:
        base.set_params(self, params)
        self.listener.params = params

    members: dict[str, Any] = {"set_model": set_model, "set_params": set_params, "listener": None}
    members |= {hook: _forward(hook) for hook in hooks if hook != LAST}
    if LAST in hooks:
        begin = members.get("on_train_begin", lambda self, logs=None: None)
        end = members.get("on_train_end", lambda self, logs=None: None)

        def on_train_begin(self: Any, logs: Any = None) -> None:
            history = getattr(self.listener.model, "history", None)
            self.alone = not _begins(history)
            if not self.alone:
                _call_last(history, self.listener.on_fit_end)
            begin(self, logs)

        def on_train_end(self: Any, logs: Any = None) -> None:
            end(self, logs)
            if self.alone:
                self.listener.on_fit_end()

        members |= {"on_train_begin": on_train_begin, "on_train_end": on_train_end}
    return type(name, (base,), members)


def _forward(hook: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.listener, hook)(*args, **kwargs)

    return method


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
