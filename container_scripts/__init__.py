"""What runs inside a worker: stdlib-only programs for Python 3.8 and newer, and pure judgement.

Belongs here: programs that observe a worker (each writes one JSON document, each usable by hand),
and judgement without I/O (error layers, run comparison, wheel choice) which the host imports too.
Does not belong here: anything that needs a third-party package, Dagster, or knowledge of the host.
"""
