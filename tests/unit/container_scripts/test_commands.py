"""A command ends by itself or is ended, with everything it started."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from container_scripts.commands import run_command

TREE = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as handle:
            return handle.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_tree_that_ignores_term_is_gone_after_the_deadline() -> None:
    done = run_command([sys.executable, "-c", TREE], timeout_s=2)
    assert done.timed_out
    assert not done.succeeded
    limit = time.monotonic() + 10
    while is_running(int(done.output)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not is_running(int(done.output))


def test_a_child_left_behind_with_the_pipe_open_does_not_delay_the_answer() -> None:
    code = f"import subprocess; subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(600)'])"
    done = run_command([sys.executable, "-c", code], timeout_s=300)
    assert done.succeeded
    assert done.seconds < 200


def test_a_child_left_behind_is_ended_although_the_command_succeeded() -> None:
    sleep = "import subprocess as s, sys; print(s.Popen(['sleep', '600'], stdout=s.DEVNULL).pid)"
    done = run_command([sys.executable, "-c", sleep], timeout_s=300)
    assert done.succeeded
    assert not is_running(int(done.output))


def test_a_command_that_closes_its_output_and_goes_on_is_still_waited_for_and_limited() -> None:
    code = "import os, time; os.close(1); os.close(2); time.sleep({}); os._exit(7)"
    assert run_command([sys.executable, "-c", code.format(0.2)], timeout_s=300).code == 7
    assert run_command([sys.executable, "-c", code.format(600)], timeout_s=1).timed_out


def test_what_cannot_be_started_is_an_outcome() -> None:
    done = run_command(["/no/such/program"], timeout_s=5)
    assert (done.code, done.succeeded) == (None, False)
    assert "cannot start" in done.output


def test_a_death_by_signal_is_a_negative_code() -> None:
    done = run_command([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], timeout_s=30)
    assert done.code == -9
