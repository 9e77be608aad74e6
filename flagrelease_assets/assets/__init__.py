"""The Dagster assets, one package for each group.

Belongs here: what is materialized. Does not belong here: when it is materialized (jobs, sensors).
"""
