"""Model version look-ups: which version of a model its hub or folder offers now.

Belongs here: references to models, what a hub or folder says about them, and the look-up of many at once.
Does not belong here: downloads of weights, partitions, and anything that knows Dagster.
"""
