"""Everything needed to have a real worker and a real small model on any Linux machine.

Belongs here: the Docker engine, the worker image and container, the local worker's environment and
the demonstration models, for ``flagrelease demo`` and for the end-to-end tests.
Does not belong here: anything a production deployment needs; there, workers and models exist already
and are named in the deployment file.
"""
