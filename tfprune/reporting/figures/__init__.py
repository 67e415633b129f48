"""Figures: each is drawn by one function, for a PNG or for a page that is light or dark. No TensorFlow.

`panels` says what a figure is, `rendering` makes files of it; the others each draw one kind.
"""
