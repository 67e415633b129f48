"""Keras 3 on TensorFlow, JAX or PyTorch: whichever it was imported with; nothing here decides that.

Masks in place, gradients, optimizers, copies of models.
"""
