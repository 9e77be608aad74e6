"""Run the commands of an installation under one deadline and keep what each of them did.

Belongs here: pip and the other tools as recorded attempts, and the class of problem a failure shows.
Does not belong here: which packages are installed, and in which order.
"""

from __future__ import annotations

import re
import time
from typing import Dict, List, Mapping, NoReturn, Optional, Sequence

from container_scripts.commands import Completed, run_command
from container_scripts.credentials import hide_credentials
from container_scripts.document import Document
from container_scripts.pip_settings import is_externally_managed, pip_argv

NETWORK, NO_MATCH, BUILD, DISK, OTHER = "network", "no_matching_distribution", "build", "disk", "other"
KEPT_TAIL = 2000
SHORTEST_LIMIT_S = 1.0
QUIET = {
    "PIP_PROGRESS_BAR": "off",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "GIT_TERMINAL_PROMPT": "0",
}

# In the order of judgement: pip ends a failed connection with "No matching distribution", too.
_SIGNS = (
    (DISK, ("No space left on device", "Errno 28", "Disk quota exceeded")),
    (
        NETWORK,
        (
            "Temporary failure in name resolution",
            "Name or service not known",
            "NewConnectionError",
            "NameResolutionError",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "Read timed out",
            r"Connection (?:refused|timed out|reset|aborted)",
            "ConnectionResetError",
            "Network is unreachable",
            "ProxyError",
            "SSLError",
            "CERTIFICATE_VERIFY_FAILED",
            "Could not resolve host",
            "unable to access",
            "early EOF",
            "RPC failed",
            "Max retries exceeded",
            r"(?:HTTP error|returned error:) (?:403|407|429|5\d\d)",
        ),
    ),
    (NO_MATCH, ("No matching distribution found", "Could not find a version that satisfies")),
    (
        BUILD,
        (
            "Failed building wheel",
            "Failed to build",
            "Could not build wheels",
            "subprocess-exited-with-error",
            "metadata-generation-failed",
            "CMake Error",
            "fatal error:",
            "error: command",
            r"make: \*\*\*",
            "ninja: build stopped",
        ),
    ),
)
_PROBLEMS = tuple((problem, re.compile("|".join(signs))) for problem, signs in _SIGNS)


class InstallError(Exception):
    """An installation step failed; the message says which, ``problem`` is its class.

    The message names addresses without their credentials.
    """

    def __init__(self, message: str, problem: str = OTHER) -> None:
        super().__init__(hide_credentials(message))
        self.problem = problem


def classify_problem(output: str) -> str:
    """Return the class of problem that a failed command's output shows."""
    return next((problem for problem, pattern in _PROBLEMS if pattern.search(output)), OTHER)


class CommandRunner:
    """Runs commands until a common deadline (``timeout_s`` seconds from now) and records each attempt."""

    def __init__(self, timeout_s: float, pip_arguments: Sequence[str] = ()) -> None:
        self.attempts: List[Document] = []
        self._deadline = time.monotonic() + timeout_s
        self._pip_arguments = list(pip_arguments)

    def run(
        self, argv: Sequence[str], cwd: Optional[str] = None, env: Optional[Mapping[str, str]] = None
    ) -> Completed:
        """Run ``argv`` with its output on standard error, record the attempt, and return what came of it."""
        limit_s = max(SHORTEST_LIMIT_S, self._deadline - time.monotonic())
        environment: Dict[str, str] = {**QUIET, **(env or {})}
        done = run_command(argv, limit_s, cwd=cwd, env=environment, echo=True)
        self.attempts.append(
            {
                "argv": [hide_credentials(argument) for argument in done.argv],
                "code": done.code,
                "seconds": done.seconds,
                "output_tail": hide_credentials(done.output)[-KEPT_TAIL:],
                "problem": None if done.succeeded else classify_problem(done.output),
                "timed_out": done.timed_out,
            }
        )
        return done

    def require(
        self,
        what: str,
        argv: Sequence[str],
        cwd: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        """Run ``argv`` and return what came of it. Raises InstallError, saying that ``what`` failed."""
        done = self.run(argv, cwd, env)
        if not done.succeeded:
            self.fail(what)
        return done

    def fail(self, what: str) -> NoReturn:
        """Raise InstallError for the last attempt: what failed, how, and its most telling line."""
        last = self.attempts[-1]
        how = "timed out" if last["timed_out"] else f"exit code {last['code']}"
        raise InstallError(f"{what} failed ({how}): {_telling_line(last['output_tail'])}", last["problem"])

    def pip(self, command: str, *arguments: str, env: Optional[Mapping[str, str]] = None) -> Completed:
        """Run ``pip install`` or ``pip download`` with the configured arguments; the caller judges."""
        return self.run(self.pip_command(command, *arguments), env=env)

    def pip_command(self, command: str, *arguments: str) -> List[str]:
        """Return the command line of a pip ``install``, ``download`` or ``uninstall`` in this interpreter."""
        argv = [*pip_argv(), command]
        if command in ("install", "uninstall") and is_externally_managed():
            argv.append("--break-system-packages")
        if command in ("install", "download"):
            argv += self._pip_arguments
        return [*argv, *arguments]

    def uninstall(self, name: str) -> None:
        """Uninstall distribution ``name``. Raises InstallError if that fails."""
        self.require(f"uninstalling {name}", self.pip_command("uninstall", "-y", name))


def _telling_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    return (errors or lines or ["no output"])[-1]
