"""No shell sees what we are given: not in our sources, and not on the way of a hostile name to a program."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from flagrelease_assets.assets.release.engine_arguments import as_assignments
from flagrelease_assets.deployment import ModelEntry
from tests.integration.rig import TOY, Rig
from tests.security.sources import calls, keyword, trees

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "cmd", "powershell", "pwsh"})
CALLS_OF_A_SHELL = frozenset(
    {
        "os.system",
        "os.popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "asyncio.create_subprocess_shell",
        "commands.getoutput",
        "pty.spawn",
    }
)
CODE_OUT_OF_TEXT = frozenset(
    {"eval", "exec", "compile", "pickle.load", "pickle.loads", "marshal.loads", "yaml.unsafe_load"}
)


def shell_uses(tree: ast.AST) -> Iterator[str]:
    """Yield a line for everything by which a module would hand text to a shell."""
    for name, call in calls(tree):
        if name in CALLS_OF_A_SHELL or name.rpartition(".")[2] in ("getoutput", "getstatusoutput"):
            yield f"line {call.lineno}: {name}"
        if keyword(call, "shell") not in (None, False):
            yield f"line {call.lineno}: shell="
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "subprocess"):
            named = {f"{node.module}.{alias.name}" for alias in node.names} & CALLS_OF_A_SHELL
            yield from (f"line {node.lineno}: imports {name}" for name in sorted(named))
        if isinstance(node, ast.List | ast.Tuple) and node.elts:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                words = first.value.rpartition("/")[2].split()
                if words and words[0] in SHELLS and len(node.elts) > 1:
                    yield f"line {node.lineno}: argv of {first.value}"
        if isinstance(node, ast.List | ast.Tuple):
            texts = [item.value for item in node.elts if isinstance(item, ast.Constant)]
            if any(text in ("bash", "sh", "/bin/sh", "/bin/bash") for text in texts) and "-c" in texts:
                yield f"line {node.lineno}: argv with -c for a shell"


def test_no_module_of_the_product_hands_anything_to_a_shell() -> None:
    found = [f"{path}: {use}" for path, tree in trees() for use in shell_uses(tree)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.system('x')",
        "import subprocess; subprocess.run('x', shell=True)",
        "import subprocess; subprocess.run('x', shell=flag)",
        "from os import popen",
        "import subprocess as s; s.getoutput('x')",
        "run(['bash', '-c', text])",
        "run(['/bin/sh', '-c', text])",
        "run(['env', 'sh', '-c', text])",
        "argv = ('docker', 'exec', name, 'bash', '-c', text)",
    ],
)
def test_every_way_to_a_shell_would_be_seen(source: str) -> None:
    assert list(shell_uses(ast.parse(source)))


def test_no_module_makes_code_or_objects_out_of_text() -> None:
    found = [
        f"{path}:{call.lineno}: {name}"
        for path, tree in trees()
        for name, call in calls(tree)
        if name in CODE_OUT_OF_TEXT
    ]
    assert found == []


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Rig(tmp_path, instance)


def model_folder(folder: Path) -> Path:
    """Make the least that counts as a whole model."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["Toy"]}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder


def argv_of(rig: Rig, job: str) -> list[str]:
    """Return the argv of the one job of this name, as its supervisor in the worker was given it."""
    (found,) = (rig.folder / "worker-cpu").rglob(f"*{job}-*/job.json")
    argv: list[str] = json.loads(found.read_text())["argv"]
    return argv


def test_hostile_names_reach_the_programs_of_a_whole_release_as_they_were_written(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rig.folder)
    touch = "x'; touch pwn; '"
    path = model_folder(rig.folder / "my models" / touch / "Qwen 3 – ü\n$(touch pwn)")
    smoke = model_folder(rig.folder / "smoke `touch pwn`")
    overrides = '{"a b": "it\'s \\"quoted\\"; touch pwn", "c": "$(touch pwn) `touch pwn` | & > pwn"}'
    arguments = ["--hf-overrides", overrides, "--chat-name", touch, "--empty=", "--two-lines", "a\nb"]
    rig.models = [{**TOY, "path": str(path), "vllm_args": arguments}]
    rig.workers["cpu"]["smoke_model"] = {"id": "smoke", "source": "folder", "path": str(smoke)}
    rig.workers["cpu"]["environment"] = {"TOY_WORDS": touch}
    rig.answer({}, real=("prepare_model",))
    assert rig.run().report is not None
    offline, serve = argv_of(rig, "run_a_result/*offline"), argv_of(rig, "run_a_result/*serve")
    for argv in (offline, serve):
        assert argv[argv.index("--model") + 1] == str(path)
    passed = [item.removeprefix("--extra-arg=") for item in serve if item.startswith("--extra-arg=")]
    assert passed[-len(arguments) :] == arguments
    assert f"--extra-arg=hf_overrides={overrides}" in offline
    log = "\n".join(file.read_text() for file in (rig.folder / "results" / "logs").rglob("*serve*.log"))
    assert f"--extra-arg={overrides}" in log, "the program did not get it"
    assert not list(rig.folder.rglob("pwn"))


@pytest.mark.parametrize("word", ["x'; touch /tmp/pwn; '", '{"a": "b c"}', "$(id)", "ü\n", "\\", '"'])
def test_a_value_with_quotes_is_one_assignment_of_the_offline_engine(word: str) -> None:
    assert as_assignments(["--hf-overrides", word, f"--other={word}"]) == [
        f"hf_overrides={word}",
        f"other={word}",
    ]


@pytest.mark.parametrize(
    "model",
    ["x'; touch /tmp/pwn; '", "../x", "org/../x", "/etc/passwd", "-x", "org/x\n", "org/x y", "org/x\0", ".."],
)
def test_a_model_id_that_is_no_name_is_refused_where_it_is_written(model: str) -> None:
    with pytest.raises(ValueError, match="cannot be a partition key"):
        ModelEntry.model_validate({"id": model})
