"""Runs: from settings to files, folders of runs, sweeps and who trains them, tracking.

Reports are drawn by `reporting`, which is imported where something is drawn.
"""
