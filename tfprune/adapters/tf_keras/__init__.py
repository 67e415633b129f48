"""tf_keras (Keras 2) on TensorFlow, with tfmot's pruning wrappers: no other part knows tfmot.

Masks, gradients, optimizers, random draws, copies of models, and conversion from Keras 3.
"""
