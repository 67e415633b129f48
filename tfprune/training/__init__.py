"""How a model is trained and pruned: settings, the pruner, loops, callbacks, checkpoints, several devices.

Knows no run folder and no report.
"""
