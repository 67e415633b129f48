"""What goes together: channels, residual branches, widths, and the surgery that takes them out of a model.

Knows no training and no run.
"""
