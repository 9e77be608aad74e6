"""The code location of the daemon test: the real definitions, with programs that answer at once."""

import os

from flagrelease_assets.definitions import build_defs
from flagrelease_assets.resources import DeploymentResource

defs = build_defs(
    resource_overrides={
        "deployment": DeploymentResource(
            path=os.environ["DAEMON_TEST_DEPLOYMENT"], scripts_root=os.environ["DAEMON_TEST_SCRIPTS"]
        )
    }
)
