"""One release in a process of its own, which a test may kill: python -m tests.faults.run_release …

Prints the run's id as soon as there is one, and in the end one line of JSON: status and failure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster as dg

from flagrelease_assets.contracts.keys import model_key
from flagrelease_assets.launch import launch
from flagrelease_assets.resources import DeploymentResource
from tests.integration.rig import TOY


def main(deployment: str, scripts_root: str, vendor: str) -> None:
    """Run the toy model's release."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = launch(
            instance,
            "release",
            vendor,
            model_key(TOY["id"]),
            deployment=DeploymentResource(path=deployment, scripts_root=scripts_root),
            on_message=lambda step, message: print(f"{step}: {message}", flush=True),
        )
    print(json.dumps({"run": result.run_id, "status": result.status, "failure": result.failure}), flush=True)


if __name__ == "__main__":
    main(str(Path(sys.argv[1])), sys.argv[2], sys.argv[3])
