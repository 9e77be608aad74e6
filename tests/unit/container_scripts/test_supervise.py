"""A supervised job outlives its starter, never its deadline, and leaves nothing behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import container_scripts
from container_scripts.processes import ProcessId, is_alive, read_process

SUPERVISE = Path(container_scripts.__file__).parent / "supervise.py"
PATIENCE_S = 30

Document = dict[str, Any]


class Job:
    """A job directory and the commands on it, each a process of its own as in a worker."""

    def __init__(self, folder: Path, argv: list[str], **settings: Any) -> None:
        self.folder = folder
        description = {
            "argv": argv,
            "deadline_s": 60,
            "idle_s": 60,
            "grace_s": 0.5,
            "run_token": "token-1",
            **settings,
        }
        (folder / "job.json").write_text(json.dumps(description))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        name, *options = arguments
        argv = [sys.executable, str(SUPERVISE), name, str(self.folder), *options]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    def start(self) -> Document:
        return self._answer("start")

    def poll(self, *options: str) -> Document:
        return self._answer("poll", *options)

    def _answer(self, *arguments: str) -> Document:
        done = self.command(*arguments)
        assert done.returncode == 0, done.stderr
        answer: Document = json.loads(done.stdout)
        return answer

    def run(self) -> Document:
        self.start()
        return self.end()

    def end(self) -> Document:
        ended: Document = wait_for(self.exit_document, "exit.json")
        return ended

    def exit_document(self) -> Document | None:
        path = self.folder / "exit.json"
        if not path.exists():
            return None
        document: Document = json.loads(path.read_text())
        return document

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def state(self) -> Document:
        state: Document = json.loads((self.folder / "state.json").read_text())
        return state


def wait_for(look: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {PATIENCE_S} s")


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    made: list[Job] = []

    def make(*argv: str, **settings: Any) -> Job:
        made.append(Job(tmp_path, list(argv), **settings))
        return made[-1]

    yield make
    for one in made:
        if (one.folder / "state.json").exists() and one.exit_document() is None:
            one.command("cancel")
            one.end()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def pid_in(path: Path) -> int:
    return int(wait_for(lambda: path.exists() and path.read_text().strip(), path.name))


def gone(pid: int) -> bool:
    process = read_process(pid)
    return process is None or not process.alive


def test_normal_exit_keeps_code_log_and_duration(job: Callable[..., Job]) -> None:
    one = job("sh", "-c", "echo out; echo err >&2; exit 3")
    ended = one.run()
    assert (ended["reason"], ended["code"], ended["signal"]) == ("exited", 3, None)
    assert ended["terminated"] == ended["survivors"] == []
    assert ended["duration_s"] >= 0
    assert one.log() == "out\nerr\n"
    assert one.poll()["state"] == "finished"


def test_death_by_signal_is_not_an_exit_code(job: Callable[..., Job]) -> None:
    ended = job("sh", "-c", "kill -SEGV $$").run()
    assert (ended["reason"], ended["code"], ended["signal"]) == ("exited", None, signal.SIGSEGV)


def test_deadline_ends_a_program_that_ignores_term(job: Callable[..., Job]) -> None:
    ended = job("sh", "-c", 'trap "" TERM; while :; do sleep 1; done', deadline_s=0.5).run()
    assert (ended["reason"], ended["signal"]) == ("deadline", signal.SIGKILL)
    assert "KILL" in {entry["signal"] for entry in ended["terminated"]}
    assert ended["survivors"] == []


def test_silent_program_is_ended_as_idle_long_before_its_deadline(job: Callable[..., Job]) -> None:
    ended = job("sleep", "99", idle_s=1).run()
    assert (ended["reason"], ended["signal"]) == ("idle", signal.SIGTERM)


SIGNS_OF_LIFE = {
    "log growth": "print('.', flush=True)",
    "CPU time": "sum(range(3_000_000))",
    "watched files": "pathlib.Path('cache', str(number)).write_text('x')",
}


@pytest.mark.parametrize("work", SIGNS_OF_LIFE.values(), ids=SIGNS_OF_LIFE)
def test_slow_program_that_shows_life_is_not_idle(job: Callable[..., Job], tmp_path: Path, work: str) -> None:
    (tmp_path / "cache").mkdir()
    code = f"import pathlib, time\nfor number in range(30):\n    {work}\n    time.sleep(0.1)"
    ended = job(*python(code), idle_s=1.2, activity_paths=[str(tmp_path / "cache")]).run()
    assert (ended["reason"], ended["code"]) == ("exited", 0)


def test_grandchild_that_leaves_its_session_is_ended_at_the_deadline(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    ended = job("sh", "-c", f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 99' & wait", deadline_s=1).run()
    assert ended["reason"] == "deadline"
    assert gone(pid_in(pid_file))


def test_children_left_after_a_normal_exit_are_ended_and_named(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    ended = job("sh", "-c", f"setsid sleep 99 & echo $! > {pid_file}").run()
    pid = pid_in(pid_file)
    assert (ended["reason"], ended["code"]) == ("exited", 0)
    assert {"pid": pid, "name": "sleep", "signal": "TERM"} in ended["terminated"]
    assert gone(pid)


def test_helper_that_notices_the_exit_by_itself_is_not_terminated(job: Callable[..., Job]) -> None:
    assert job("sh", "-c", "sleep 0.3 & exit 0").run()["terminated"] == []


def test_cancel_ends_the_job_even_one_with_a_long_grace(job: Callable[..., Job]) -> None:
    one = job("sh", "-c", 'trap "" TERM; echo up; while :; do sleep 1; done', grace_s=600)
    one.start()
    wait_for(one.log, "first line")
    assert one.command("cancel").returncode == 0
    ended = one.end()
    assert (ended["reason"], ended["signal"]) == ("cancelled", signal.SIGKILL)


def test_cancel_before_the_start_ends_the_job_at_once(job: Callable[..., Job]) -> None:
    one = job("sleep", "99")
    one.command("cancel")
    assert one.run()["reason"] == "cancelled"


def test_job_that_nobody_asks_for_ends_with_its_lease(job: Callable[..., Job]) -> None:
    assert job("sleep", "99", lease_s=1).run()["reason"] == "lease"


def test_polls_renew_the_lease(job: Callable[..., Job]) -> None:
    one = job("sleep", "3", lease_s=1.5)
    one.start()
    while one.exit_document() is None:
        one.poll()
    assert one.end()["reason"] == "exited"


def test_killed_supervisor_makes_the_job_lost_and_the_poll_ends_what_is_left(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    one = job("sh", "-c", f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 99' & sleep 98")
    bystander = subprocess.Popen(["sleep", "97"], start_new_session=True)
    one.start()
    pid = pid_in(pid_file)
    wait_for(lambda: pid in [row[0] for row in one.state()["processes"]], "record of the grandchild")
    recorded = [ProcessId(row[0], row[1]) for row in one.state()["processes"]]
    os.kill(one.state()["supervisor"][0], signal.SIGKILL)
    answer = wait_for(lambda: (found := one.poll())["state"] == "lost" and found, "state lost")
    assert answer["exit"]["reason"] == "lost"
    assert answer["exit"]["survivors"] == []
    assert not any(is_alive(identity) for identity in recorded)
    assert bystander.poll() is None, "a process of somebody else was hit"
    assert one.poll()["exit"] == answer["exit"]
    bystander.kill()
    bystander.wait()


def test_recorded_process_without_the_marker_is_reported_and_not_signalled(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    one = job("sleep", "1")
    one.run()
    stranger = subprocess.Popen(["sleep", "99"])
    identity = read_process(stranger.pid)
    assert identity is not None
    state = one.state()
    (tmp_path / "state.json").write_text(json.dumps({**state, "processes": [[*identity.id, "sleep"]]}))
    (tmp_path / "exit.json").unlink()
    answer = one.poll()
    assert answer["state"] == "lost"
    assert answer["exit"]["survivors"] == [{"pid": stranger.pid, "name": "sleep"}]
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_program_that_does_not_exist_is_spawn_failed(job: Callable[..., Job]) -> None:
    ended = job("/nowhere/to/be/found").run()
    assert (ended["reason"], ended["code"], ended["signal"]) == ("spawn_failed", None, None)
    assert "/nowhere/to/be/found" in ended["error"]


def test_second_start_does_not_run_the_program_twice(job: Callable[..., Job]) -> None:
    one = job("sh", "-c", "echo once; sleep 1")
    assert one.start() == {"started": True}
    assert one.start() == {"started": False}
    one.end()
    assert one.log() == "once\n"


def test_environment_is_inherited_set_and_unset(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "kept")
    monkeypatch.setenv("TO_BE_ABSENT", "present")
    names = ["FROM_OUTSIDE", "TO_BE_ABSENT", "EMPTY", "FLAGRELEASE_RUN_TOKEN"]
    code = f"import json, os; print(json.dumps([os.environ.get(name) for name in {names!r}]))"
    one = job(*python(code), env_set={"EMPTY": "", "TO_BE_ABSENT": "x"}, env_unset=["TO_BE_ABSENT"])
    one.run()
    assert json.loads(one.log()) == ["kept", None, "", "token-1"]


def test_standard_input_is_empty_so_that_a_question_cannot_hang_the_job(job: Callable[..., Job]) -> None:
    assert job("cat").run()["code"] == 0


def test_poll_hands_out_the_log_in_bounded_pieces_that_add_up(job: Callable[..., Job]) -> None:
    one = job(*python("import sys; sys.stdout.buffer.write(bytes(range(256)) * 40)"))
    one.run()
    pieces, offset = b"", 0
    while True:
        answer = one.poll(f"--offset={offset}", "--max-bytes=999")
        piece = base64.b64decode(answer["chunk_b64"])
        assert len(piece) <= 999
        pieces, offset = pieces + piece, answer["offset"]
        if offset == answer["log_size"]:
            break
    assert pieces == bytes(range(256)) * 40


@pytest.mark.parametrize("wrong", [{"deadline_s": 0}, {"idle_s": -1}, {"argv": []}, {"grace_s": "x"}])
def test_job_without_a_usable_deadline_is_refused(job: Callable[..., Job], wrong: Document) -> None:
    done = job("true", **{key: value for key, value in wrong.items() if key != "argv"})
    if "argv" in wrong:
        done = Job(done.folder, [])
    assert done.command("start").returncode == 2


def test_poll_of_a_folder_without_a_job_is_an_error_and_makes_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    argv = [sys.executable, str(SUPERVISE), "poll", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(folder) in done.stderr
    assert not folder.exists()
