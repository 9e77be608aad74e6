"""Where results are kept and how they are read back.

Belongs here: the store, history and comparison.
Does not belong here: what a result means (contracts), how it is shown (reporting), how Dagster hands it
from asset to asset (`resources.py`).
"""
