"""No secret reaches a result, a report or the run's log, wherever in the worker it shows up."""

from __future__ import annotations

from pathlib import Path
from string import ascii_letters, digits
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flagrelease_assets.contracts import InstallStatus, ModelRun, ReleaseReport
from flagrelease_assets.contracts.common import Status
from tests.doubles.instant_scripts import HEALTHY
from tests.integration.rig import TOY, Rig

SECRETS = st.text(ascii_letters + digits + "-_.~", min_size=12, max_size=40).map("hf_{}".format)


def leaky(secret: str, **serve: Any) -> dict[str, dict[str, Any]]:
    """Return answers of programs that say the secret wherever they can."""
    words = f'ValueError: {secret}\nGET https://user:{secret}@hub/x {{"key": "{secret}"}}'
    mirror = f"https://user:{secret}@mirror/github"
    network = {"use_mirror": True, "prefix": mirror, "reason": f"mirror {mirror}"}
    leaks = {"_log": words, "extra": {secret: [words]}}
    answers: dict[str, dict[str, Any]] = {name: {**answer, **leaks} for name, answer in HEALTHY.items()}
    answers["detect_network"].update(github=network, pypi=network, reason=words)
    answers["test_serve_mode"]["command"] = ["serve", "--api-key", secret]
    answers["test_serve_mode"].update(serve)
    return answers


def kept_texts(rig: Rig, run_id: str) -> dict[str, str]:
    """Return all that a run kept: every file below the results, every entry of Dagster's event log."""
    files = {str(path): path.read_bytes().decode() for path in (rig.folder / "results").rglob("*.*")}
    entries = {str(n): dg.serialize_value(entry) for n, entry in enumerate(rig.instance.all_logs(run_id))}
    return {**files, **entries, "messages": repr(rig.messages)}


@given(secret=SECRETS)
@settings(max_examples=2, deadline=None, phases=[Phase.generate])
def test_a_secret_that_shows_up_everywhere_in_the_worker_is_kept_nowhere(secret: str) -> None:
    with TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        rig = Rig(Path(folder), instance, models=[{**TOY, "vllm_args": ["--api-key", secret]}])
        rig.network = {"github_mirror": f"https://user:{secret}@mirror/github"}
        password = secret[::-1]  # one that only its place in an address gives away
        rig.workers["cpu"]["environment"] = {"http_proxy": f"http://user:{password}@proxy:80"}
        with patch.dict("os.environ", HF_TOKEN=secret):
            rig.answer(leaky(secret))
            healthy = rig.run()
            healthy_texts = kept_texts(rig, healthy.run_id)
            failure = {"status": "FAIL", "error": f"RuntimeError: {secret}", "traceback": f"Error: {secret}"}
            rig.answer(leaky(secret, **failure))
            failed = rig.run(force=True)
        run = rig.document(ModelRun, "run_a_result")
        assert healthy.report is not None
        assert any("http_proxy=http://<redacted>@proxy:80" in line for line in healthy.report.reproduce)
        assert run.environment["http_proxy"] == "http://<redacted>@proxy:80"
        texts = {**healthy_texts, **kept_texts(rig, failed.run_id)}
        assert [name for name, text in texts.items() if secret in text or password in text] == []
        assert any("ValueError: <redacted>" in text for text in texts.values())
        in_worker = list((rig.folder / "worker-cpu").rglob("log.txt"))
        assert any(secret in path.read_text() for path in in_worker), "the programs did not say it"


def test_a_mirror_is_used_with_the_credentials_that_its_document_does_not_show(rig: Rig) -> None:
    mirror = "https://user:pass-word@mirror/github"
    rig.network = {"github_mirror": mirror}
    rig.answer({"detect_network": leaky("pass-word")["detect_network"]})
    rig.run(job="install")
    network = rig.document(InstallStatus, "install_status").network
    assert network is not None
    assert network.github_prefix == "https://<redacted>@mirror/github"
    described = [path.read_text() for path in (rig.folder / "worker-cpu").rglob("install-*/job.json")]
    assert described
    assert all(f'"{mirror}"' in text for text in described)


def test_an_exception_of_a_step_is_stored_without_the_secret_in_its_text(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_12345678")

    def raise_secret(*_: object) -> None:
        raise RuntimeError("refused: hf_12345678")

    monkeypatch.setattr("flagrelease_assets.assets.release.install._choose_network", raise_secret)
    monkeypatch.setattr("flagrelease_assets.reporting.html.report_html", raise_secret)
    result = rig.run()
    install = rig.document(InstallStatus, "install_status")
    assert (install.status, install.reason) == (Status.FAIL, "RuntimeError: refused: <redacted>")
    assert isinstance(result.report, ReleaseReport)
    texts = kept_texts(rig, result.run_id)
    assert [name for name, text in texts.items() if "hf_12345678" in text] == []
