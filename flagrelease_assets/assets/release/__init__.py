"""The release: install, verify, run with and without the multi-chip stack, compare, benchmark, report.

Belongs here: one module for each step, and what steps share (step, scope, phases, stacks).
Does not belong here: jobs, sensors, and anything that a later group (adaptation, migration) needs alone.
"""
