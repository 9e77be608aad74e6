"""Where a vendor's steps run: running containers and local interpreters, and jobs in them.

Belongs here: reaching a worker, moving files, running supervised jobs and collecting what they left.
Does not belong here: what a job observes, what its result means, and Dagster.
"""
