"""We ask for no right that a release does not need: of an engine, of a system, of a folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.security.sources import calls, keyword, trees

RIGHTS = (
    "privileged",
    "cap_add",
    "device_cgroup_rules",
    "devices",
    "ipc_mode",
    "pid_mode",
    "security_opt",
    "userns_mode",
)
"""Arguments by which docker-py asks an engine for more than a plain container or command has."""

OTHER_USERS = frozenset({"sudo", "su", "doas", "pkexec", "setpriv", "nsenter", "chroot"})


def demands(tree: ast.AST) -> Iterator[str]:
    """Yield a line for every right that a module asks for, and every command that changes the user."""
    for name, call in calls(tree):
        if name.endswith((".run", ".create", ".exec_create", ".exec_run", ".create_host_config")):
            asked = [right for right in RIGHTS if keyword(call, right) not in (None, False)]
            yield from (f"line {call.lineno}: {right}" for right in asked)
        if name in ("os.setuid", "os.seteuid", "os.chroot"):
            yield f"line {call.lineno}: {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple) and node.elts:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and first.value in OTHER_USERS:
                yield f"line {node.lineno}: {first.value}"


def test_no_module_of_the_product_asks_for_more_rights() -> None:
    assert [f"{path}: {line}" for path, tree in trees() for line in demands(tree)] == []


@pytest.mark.parametrize(
    "source",
    [
        "client.containers.run(image, privileged=True)",
        "client.api.exec_create(name, argv, privileged=wanted)",
        "client.containers.run(image, cap_add=['SYS_ADMIN'])",
        "run(['sudo', 'pip', 'install'])",
        "os.setuid(0)",
    ],
)
def test_every_demand_would_be_seen(source: str) -> None:
    assert list(demands(ast.parse(source)))


def writes_for_everybody(tree: ast.AST) -> Iterator[str]:
    """Yield a line for every number that, as a mode, would let everybody write."""
    for name, call in calls(tree):
        modes = [*call.args[1:], *(given.value for given in call.keywords if given.arg == "mode")]
        if name.rpartition(".")[2] in ("chmod", "fchmod", "mkdir", "makedirs", "touch", "open"):
            for mode in modes:
                if isinstance(mode, ast.Constant) and type(mode.value) is int and mode.value & 0o002:
                    yield f"{name}({oct(mode.value)})"


def test_only_the_folder_of_device_locks_may_be_written_by_everybody() -> None:
    found = {(path, line) for path, tree in trees() for line in writes_for_everybody(tree)}
    assert found == {("container_scripts/device_lock.py", "os.chmod(0o1777)")}, (
        "sticky, so that nobody takes away another's record"
    )
