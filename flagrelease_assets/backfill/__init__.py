"""Releasing many cells of the board: one model over all vendors, one vendor over all models, or everything.

Belongs here: which cells are released, through which server or processes, and how far each one is.
Does not belong here: one release (`launch.py`), the command line, how progress looks (`reporting`).
"""
