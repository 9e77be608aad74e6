"""All error signatures in the order of their weight, and the wordings that prove nothing by themselves.

Belongs here: the whole table, errors that only point to another one, signs of a crash and of serving.
Does not belong here: single signatures (environment_signatures, engine_signatures), weighing (error_layers).
"""

from __future__ import annotations

import re
from typing import Tuple

from container_scripts.engine_signatures import ENGINE_SIGNATURES
from container_scripts.environment_signatures import ENVIRONMENT_SIGNATURES
from container_scripts.error_vocabulary import Signature

SIGNATURES: Tuple[Signature, ...] = (*ENVIRONMENT_SIGNATURES, *ENGINE_SIGNATURES)
QUIET_SIGNATURES: Tuple[Signature, ...] = tuple(one for one in SIGNATURES if one.quiet)

GENERIC_TYPES = frozenset(
    {
        "KeyboardInterrupt",
        "SystemExit",
        "CancelledError",
        "BrokenPipeError",
        "ChildFailedError",
        "GeneratorExit",
    }
    | {"EngineDeadError", "AsyncEngineDeadError", "MQEngineDeadError", "EngineGenerateError", "EOFError"}
)
GENERIC = re.compile(
    r"Engine core initialization failed|Engine process failed to start|See (?:the )?(?:root cause|stack)"
    r"|WorkerProc (?:initialization failed|failed to start)|EngineCore (?:encountered|failed to start)"
    r"|(?:Async|Background )?\w*[Ll]oop (?:has errored|is not running|stopped)|Failed core proc"
    r"|Failed to infer device type|Connection (?:closed|reset) by peer|leaked shared_memory|EngineDeadError"
    r"|cancelled by|Parent process exited|Executor failed|output_handler failed|atexit"
)
CRASH = re.compile(
    r"Assertion [`'].*' failed|terminate called after throwing|core dumped|\bSIGABRT\b|Fatal Python error"
    r"|trapType: |^Aborted\b"
)
SERVING = re.compile(
    r"Application startup complete|\b200 OK\b|already dead, terminating server|output_handler failed"
    r"|\"finish_reason\"|Avg generation throughput"
)
