"""The ground floor: errors, checks, registries, seeds, files and text.

Knows nothing of models, runs or TensorFlow.
"""
