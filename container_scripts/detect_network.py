"""Probe whether sources and packages can be fetched directly, or through which mirror.

Belongs here: the reachability of the source host, of pip's own index, and of configured mirrors.
Does not belong here: any index address (the one in use is asked of pip), fetching anything.
"""

from __future__ import annotations

import argparse
import base64
import os
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import List, Optional, Sequence

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.credentials import hide_credentials
from container_scripts.document import Document, run_program
from container_scripts.pip_settings import PipSettings, read_pip_settings

GITHUB = "https://github.com"
PROBE_TIMEOUT_S = 5.0
MAX_SOURCES = 8
MAX_PROBES = MAX_SOURCES + 3
"""Addresses asked at most: pip's sources, the source host, and a mirror of each."""

SLOW_MS = 3000.0
HEAD_REFUSED = (403, 405, 501)


@dataclass(frozen=True)
class Reach:
    """Whether an address answered, how fast (milliseconds), and if not, why."""

    reachable: bool
    latency_ms: Optional[float] = None
    reason: Optional[str] = None

    @property
    def fast(self) -> bool:
        """Say whether it answered within what counts as fast."""
        return self.reachable and (self.latency_ms or 0.0) <= SLOW_MS


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--github-mirror", metavar="PREFIX", help=f"address that stands for {GITHUB}")
    parser.add_argument("--pypi-mirror", metavar="URL", help="index to use when pip's own cannot be reached")
    parser.add_argument("--timeout", type=float, default=PROBE_TIMEOUT_S, help="seconds for each request")
    parser.add_argument("--project", default="pip", help="small project page that is asked of an index")
    return parser


def probe_limit(timeout_s: float) -> float:
    """Return how many seconds a probe may take: HEAD, then GET where HEAD is refused."""
    return 2 * timeout_s


def probe(address: str, timeout_s: float, ca_bundle: Optional[str] = None) -> Reach:
    """Say whether ``address`` (http, https or file; credentials allowed) answers with a status below 400.

    The limit holds for name resolution, too, which has none of its own.
    """
    answers: List[Reach] = []
    asking = threading.Thread(target=lambda: answers.append(_ask(address, timeout_s, ca_bundle)), daemon=True)
    asking.start()
    asking.join(probe_limit(timeout_s))
    return answers[0] if answers else Reach(False, None, f"no answer within {probe_limit(timeout_s):g} s")


def _ask(address: str, timeout_s: float, ca_bundle: Optional[str]) -> Reach:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme in ("", "file"):
        path = urllib.parse.unquote(parts.path)
        exists = os.path.exists(path)
        return Reach(exists, 0.0 if exists else None, None if exists else f"no such path: {path}")
    started = time.monotonic()
    try:
        try:
            _open(parts, "HEAD", timeout_s, ca_bundle)
        except urllib.error.HTTPError as error:
            if error.code not in HEAD_REFUSED:
                raise
            _open(parts, "GET", timeout_s, ca_bundle)
    except Exception as error:  # whatever a network does, the answer is "not reachable, because"
        return Reach(False, None, hide_credentials(f"{type(error).__name__}: {error}"))
    return Reach(True, round((time.monotonic() - started) * 1000, 1))


def _open(parts: urllib.parse.SplitResult, method: str, timeout_s: float, ca_bundle: Optional[str]) -> None:
    user, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=host)), method=method)
    if user:
        token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    context = ssl.create_default_context(cafile=ca_bundle) if parts.scheme == "https" else None
    with urllib.request.urlopen(request, timeout=timeout_s, context=context):
        pass


def probe_github(mirror: Optional[str], timeout_s: float) -> Document:
    """Return the choice between the source host and its mirror.

    ``prefix`` is what to clone from, without credentials.
    """
    direct = probe(GITHUB, timeout_s)
    fallback = probe(mirror, timeout_s) if mirror and not direct.fast else None
    use_mirror = bool(fallback and fallback.reachable)
    return {
        "direct_reachable": direct.reachable,
        "latency_ms": direct.latency_ms,
        "use_mirror": use_mirror,
        "prefix": hide_credentials(mirror.rstrip("/")) if use_mirror and mirror else GITHUB,
        "usable": direct.reachable or use_mirror,
        "reason": _explain(direct, fallback),
    }


def probe_pypi(settings: PipSettings, mirror: Optional[str], project: str, timeout_s: float) -> Document:
    """Return the choice between what pip is configured for and the mirror (``index_flag`` for pip)."""
    direct = _probe_first(package_sources(settings, project), timeout_s, settings.ca_bundle)
    fallback = None
    if mirror and not direct.fast:
        fallback = probe(f"{mirror.rstrip('/')}/{project}/", timeout_s, settings.ca_bundle)
    use_mirror = bool(fallback and fallback.reachable)
    configured = settings.index_url_configured or settings.extra_index_urls or settings.find_links
    return {
        "direct_reachable": direct.reachable,
        "latency_ms": direct.latency_ms,
        "use_mirror": use_mirror,
        "index_flag": f"-i {hide_credentials(mirror)}" if use_mirror and mirror else "",
        "source": "mirror" if use_mirror else "pip configuration" if configured else "pip default",
        "usable": direct.reachable or use_mirror,
        "reason": _explain(direct, fallback),
    }


def package_sources(settings: PipSettings, project: str) -> List[str]:
    """Return the addresses that pip would look at for ``project``, the index first."""
    indexes = [settings.index_url] if settings.index_url else []
    pages = [f"{index.rstrip('/')}/{project}/" for index in indexes]
    local = [extra for extra in settings.extra_index_urls if extra.startswith("file:")]
    remote = [f"{extra.rstrip('/')}/{project}/" for extra in settings.extra_index_urls if extra not in local]
    return [*pages, *remote, *local, *settings.find_links]


def _probe_first(addresses: Sequence[str], timeout_s: float, ca_bundle: Optional[str]) -> Reach:
    """Return the first address that answers, of ``MAX_SOURCES`` at most, else why the first one did not."""
    failures = []
    for address in addresses[:MAX_SOURCES]:
        found = probe(address, timeout_s, ca_bundle)
        if found.reachable:
            return found
        failures.append(found)
    return failures[0] if failures else Reach(False, None, "pip names no index: set one in its configuration")


def _explain(direct: Reach, fallback: Optional[Reach]) -> Optional[str]:
    if direct.fast:
        return None
    if direct.reachable:
        what = f"direct access is slow ({direct.latency_ms:g} ms)"
    else:
        what = f"direct access failed ({direct.reason})"
    if fallback is None:
        return f"{what}; no mirror is configured"
    return (
        f"{what}; the mirror answers" if fallback.reachable else f"{what}; mirror failed ({fallback.reason})"
    )


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body; FAIL only when neither sources nor packages can be fetched in any way."""
    github = probe_github(arguments.github_mirror, arguments.timeout)
    pypi = probe_pypi(read_pip_settings(), arguments.pypi_mirror, arguments.project, arguments.timeout)
    dead = [name for name, found in (("github", github), ("pypi", pypi)) if not found["usable"]]
    reason = f"UNREACHABLE: {', '.join(dead)}" if dead else None
    return {"status": "FAIL" if len(dead) == 2 else "PASS", "reason": reason, "github": github, "pypi": pypi}


if __name__ == "__main__":
    sys.exit(run_program("detect_network", build_parser(), observe))
