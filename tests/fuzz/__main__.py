"""Coverage-guided fuzzing of the parsers with atheris, for a bounded time: `make fuzz`.

Belongs here: running one target after another, each in a process of its own.
Does not belong here: the targets (`targets.py`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

DEFAULT_TARGETS = ("strict_yaml", "worker_archive", "worker_result", "model_config", "phase_document")
LONGEST_INPUT_BYTES = 4096
INPUT_LIMIT_S = 10
"""Longer for one input is a hang, and fails."""


def fuzz_here(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["flagrelease_assets", "container_scripts"]):
        from tests.fuzz.targets import TARGETS
    limits = (
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_LIMIT_S}",
        f"-max_len={LONGEST_INPUT_BYTES}",
        f"-artifact_prefix={corpus}/failed-",
    )
    atheris.Setup([sys.argv[0], *limits, str(corpus)], TARGETS[name])
    atheris.Fuzz()


def fuzz_each(names: list[str], seconds: int, corpus: Path) -> int:
    """Fuzz targets one after another; 1 if any failed, and its input is kept below ``corpus``."""
    failed = []
    for name in names:
        folder = corpus / name
        folder.mkdir(parents=True, exist_ok=True)
        print(f"fuzz: {name} for {seconds} s", flush=True)
        argv = [sys.executable, "-m", "tests.fuzz", "--one", name, "--seconds", str(seconds)]
        done = subprocess.run(
            [*argv, "--corpus", str(folder)],
            capture_output=True,
            text=True,
            timeout=seconds * 3 + 120,
            check=False,
        )
        last = [line for line in done.stderr.splitlines() if line.strip()][-12:]
        if done.returncode != 0:
            failed.append(name)
            print("\n".join(last))
        else:
            print(f"fuzz: {name}: {last[-1] if last else 'no output'}", flush=True)
    print(f"fuzz: {'failed: ' + ', '.join(failed) if failed else 'nothing found'}")
    return 1 if failed else 0


def main() -> int:
    """Read the command line and fuzz."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", default=list(DEFAULT_TARGETS), help="names in tests/fuzz/targets.py"
    )
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument(
        "--corpus", type=Path, default=Path("build/fuzz"), help="inputs that led somewhere new"
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("fuzz: atheris is not installed: .venv/bin/pip install -e '.[fuzz]'", file=sys.stderr)
        return 2
    if options.one:
        fuzz_here(options.one, options.seconds, options.corpus)
        return 0
    return fuzz_each(options.targets, options.seconds, options.corpus)


if __name__ == "__main__":
    sys.exit(main())
