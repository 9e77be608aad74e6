"""Process trees are read right and ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.processes import (
    Process,
    ProcessId,
    all_processes,
    end_processes,
    has_ended,
    has_variable,
    is_alive,
    living_descendants,
    living_in_session,
    parse_stat,
    read_process,
    send_signal,
)

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(99)
"""

FORKER = """
import os, time
os.setsid()
print("up", flush=True)
while True:
    if os.fork() == 0:
        time.sleep(0.2)
        os._exit(0)
    time.sleep(0.005)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "99"], env={"OURS": "marked"})
    yield process
    process.kill()
    process.wait()


def _identity(pid: int) -> ProcessId:
    process = read_process(pid)
    assert process is not None
    return process.id


@given(st.text(alphabet=st.characters(blacklist_characters="\n\0"), max_size=15))
def test_any_process_name_parses_because_names_may_hold_spaces_and_parentheses(name: str) -> None:
    tail = "S 7 1 1 0 -1 0 0 0 0 0 11 22 33 44 20 0 1 0 5555 0 0"
    assert parse_stat(f"42 ({name}) {tail}") == Process(ProcessId(42, 5555), 7, name, True, 110)


def test_a_zombie_is_not_alive_unless_its_threads_are() -> None:
    assert not parse_stat("1 (a) Z 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0").alive
    assert parse_stat("1 (a) Z 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 5 0 0").alive


def test_own_process_is_among_all(sleeper: subprocess.Popen[bytes]) -> None:
    assert {os.getpid(), sleeper.pid} <= {process.id.pid for process in all_processes()}


def test_a_reused_pid_is_another_process_and_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    earlier = ProcessId(sleeper.pid, _identity(sleeper.pid).start_ticks - 1)
    assert not is_alive(earlier)
    assert not send_signal(earlier, signal.SIGKILL)
    assert sleeper.poll() is None


def test_variable_counts_only_with_its_exact_value(sleeper: subprocess.Popen[bytes]) -> None:
    assert has_variable(sleeper.pid, "OURS", "marked")
    assert not has_variable(sleeper.pid, "OURS", "mark")
    assert not has_variable(2**22 + 1, "OURS", "marked")


def test_a_child_found_to_have_ended_keeps_its_pid_until_it_is_reaped(
    sleeper: subprocess.Popen[bytes],
) -> None:
    assert not has_ended(sleeper.pid)
    sleeper.kill()
    while not has_ended(sleeper.pid):
        time.sleep(0.01)
    assert read_process(sleeper.pid) is not None
    sleeper.wait()
    with pytest.raises(ChildProcessError):
        has_ended(sleeper.pid)


def test_a_session_outlives_its_leader_and_holds_nobody_else(sleeper: subprocess.Popen[bytes]) -> None:
    leader = subprocess.Popen(["sh", "-c", "sleep 97 &"], start_new_session=True)
    while not has_ended(leader.pid):
        time.sleep(0.01)
    left = living_in_session(leader.pid)
    while left and left[0].name == "sh":  # forked, not yet the program that it will be
        time.sleep(0.01)
        left = living_in_session(leader.pid)
    assert [process.name for process in left] == ["sleep"]
    end_processes(lambda: living_in_session(leader.pid), 2)
    leader.wait()
    assert sleeper.poll() is None


def test_grandchildren_are_descendants(sleeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 98 & echo $!; wait"], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        grandchild = int(shell.stdout.readline())
        below = {process.id.pid for process in living_descendants(shell.pid)}
        end_processes(lambda: living_descendants(shell.pid), 2)
    assert below == {grandchild}
    assert sleeper.poll() is None, "a process outside the tree was hit"


def test_polite_process_gets_only_term(sleeper: subprocess.Popen[bytes]) -> None:
    identity = _identity(sleeper.pid)
    ending = end_processes(
        lambda: [p for p in [read_process(identity.pid)] if p and p.alive], 5, sleeper.poll
    )
    assert [(ended.process.id, ended.signal) for ended in ending.terminated] == [(identity, "TERM")]
    assert ending.survivors == []
    assert sleeper.wait() == -signal.SIGTERM


def test_process_that_ignores_term_is_killed_after_the_grace() -> None:
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    ending = end_processes(
        lambda: [p for p in [read_process(process.pid)] if p and p.alive],
        0.2,
        process.poll,
    )
    process.stdout.close()
    assert [ended.signal for ended in ending.terminated] == ["KILL"]
    assert process.wait() == -signal.SIGKILL


def test_tree_that_keeps_forking_is_ended_whole() -> None:
    process = subprocess.Popen([sys.executable, "-c", FORKER], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    time.sleep(0.3)
    own = os.getpid()
    ending = end_processes(
        lambda: [p for p in living_descendants(own) if p.id.pid == process.pid or p.parent == process.pid], 0
    )
    process.wait()
    process.stdout.close()
    assert ending.survivors == []
    assert process.pid in {ended.process.id.pid for ended in ending.terminated}
