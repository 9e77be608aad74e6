"""`flagrelease.yaml`: which workers and models this installation has, and where results go.

Belongs here: the deployment file's sections and its loading.
Does not belong here: what is true of a vendor or stack release everywhere (the catalog).
"""

from flagrelease_assets.deployment.checks import CHECK_NAMES, Checks
from flagrelease_assets.deployment.discovery import DiscoveryRule
from flagrelease_assets.deployment.file import (
    DEPLOYMENT_VARIABLE,
    Deployment,
    DeploymentError,
    NetworkSettings,
    deployment_path,
    load_deployment,
)
from flagrelease_assets.deployment.models import ModelEntry
from flagrelease_assets.deployment.waivers import Waiver
from flagrelease_assets.deployment.workers import (
    DockerWorkerEntry,
    LocalWorkerEntry,
    OperatorSearchSettings,
    ReleaseSettings,
)

__all__ = [
    "CHECK_NAMES",
    "DEPLOYMENT_VARIABLE",
    "Checks",
    "Deployment",
    "DeploymentError",
    "DiscoveryRule",
    "DockerWorkerEntry",
    "LocalWorkerEntry",
    "ModelEntry",
    "NetworkSettings",
    "OperatorSearchSettings",
    "ReleaseSettings",
    "Waiver",
    "deployment_path",
    "load_deployment",
]
