"""The gate: all that imports a user's module, builds layers from a configuration or opens a model's file.

Each function asks for trust itself, of what it is about to load; nothing else in the package reaches the loaders. Trust
is what was typed in this command, see `trust`.
"""
