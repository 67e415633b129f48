"""Trained models in other formats: written, loaded again, compared, measured, asked for predictions.

Not called `export`, which is to be a function of the package.
"""
