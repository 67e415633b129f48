"""Results for people: statistics, verdicts, tables, figures, pages. No TensorFlow.

Reads what `experiments` has written.
"""
