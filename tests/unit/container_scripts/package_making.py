"""Small real distributions and environments, made on the fly for the tests of installation."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[3] / "container_scripts"


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    modules: Mapping[str, str],
    requires: Sequence[str] = (),
    entry_points: str = "",
) -> Path:
    """Write a wheel of pure Python ``modules`` (path -> source) into ``folder`` and return its path."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        **modules,
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {item}\n" for item in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        files[f"{info}/entry_points.txt"] = entry_points
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in files.items())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(member, text)
    return path


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


class Environment:
    """A virtual environment of its own whose pip sees only the wheels in ``wheels``."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        self.python = folder / "venv" / "bin" / "python"
        shutil.copytree(template, folder / "venv", symlinks=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        self.variables = {**kept, "PIP_CONFIG_FILE": os.devnull}
        self.pip_arguments = ["--no-index", f"--find-links={self.wheels}"]

    def wheel(self, name: str, version: str, modules: Mapping[str, str], **more: Any) -> Path:
        """Make a wheel that pip can find."""
        return make_wheel(self.wheels, name, version, modules, **more)

    def pip_install(self, *requirements: str) -> None:
        """Install into the environment, outside of what is tested."""
        argv = [str(self.python), "-m", "pip", "install", "-q", *self.pip_arguments, *requirements]
        subprocess.run(argv, check=True, env=self.variables)

    def run(self, program: str, *arguments: str) -> dict[str, Any]:
        """Run a program of container_scripts in the environment and return its document."""
        output = self.folder / "document.json"
        argv = [str(self.python), str(SCRIPTS / f"{program}.py"), *arguments, "--output", str(output)]
        output.unlink(missing_ok=True)
        subprocess.run(argv, check=False, env=self.variables, cwd=self.folder)
        document: dict[str, Any] = json.loads(output.read_text())
        return document

    def install(self, plan: Mapping[str, Any], *more: str) -> dict[str, Any]:
        """Run install_package on one plan."""
        file = self.folder / "plan.json"
        file.write_text(json.dumps(plan))
        arguments = ["--package", "vllm", "--plan", str(file), "--workdir", str(self.folder / "work")]
        pip = [f"--pip-arg={argument}" for argument in self.pip_arguments]
        return self.run("install_package", *arguments, "--min-free-gb", "0", *pip, *more)

    def validate(self, plans: Mapping[str, Any], *more: str) -> dict[str, Any]:
        """Run validate_packages on plans by key."""
        file = self.folder / "plans.json"
        file.write_text(json.dumps(plans))
        return self.run("validate_packages", "--plan", str(file), *more)

    def version(self, name: str) -> str | None:
        """Return the installed version of a distribution, as the environment itself sees it."""
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        done = subprocess.run([str(self.python), "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip() or None
