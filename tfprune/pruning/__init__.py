"""What to prune: criteria, top-k masks, pruning events, patterns and sparsity distributions, in NumPy.

Knows no framework, no model and no training.
"""
