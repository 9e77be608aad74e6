"""Tests of the translation of a host's pip configuration for a container."""

from __future__ import annotations

from pathlib import Path

from flagrelease_assets.demo.package_access import (
    CA_BUNDLE_TARGET,
    BindMount,
    PackageAccess,
    package_access,
)


def test_nothing_configured_asks_for_nothing() -> None:
    assert package_access({}, {}) == PackageAccess({}, (), None, host_network=False)


def test_folder_of_links_is_mounted_read_only_at_its_own_path(tmp_path: Path) -> None:
    access = package_access({"find-links": str(tmp_path)}, {})
    assert access.mounts == (BindMount(tmp_path, str(tmp_path), read_only=True),)
    assert access.environment == {"PIP_FIND_LINKS": str(tmp_path)}


def test_file_index_is_mounted_with_the_files_beside_it_that_its_pages_link_to(tmp_path: Path) -> None:
    index = tmp_path / "mirror" / "simple"
    index.mkdir(parents=True)
    access = package_access({"extra-index-url": f"{index.as_uri()}\nhttps://index.test/simple"}, {})
    assert access.mounts == (BindMount(index.parent, str(index.parent)),)
    assert access.environment == {"PIP_EXTRA_INDEX_URL": f"{index.as_uri()} https://index.test/simple"}


def test_folder_inside_a_mounted_folder_is_not_mounted_twice(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    access = package_access({"find-links": f"{tmp_path}/inner {tmp_path}"}, {})
    assert [mount.source for mount in access.mounts] == [tmp_path]


def test_path_that_does_not_exist_is_left_out_because_an_engine_would_create_it(tmp_path: Path) -> None:
    access = package_access({"find-links": f"{tmp_path}/gone https://wheels.test/"}, {})
    assert access.mounts == ()
    assert access.environment == {"PIP_FIND_LINKS": "https://wheels.test/"}


def test_certificates_are_mounted_and_named_for_pip_and_other_clients(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificate")
    access = package_access({"cert": str(bundle)}, {})
    assert access.ca_bundle == bundle
    assert access.mounts == (BindMount(bundle, CA_BUNDLE_TARGET),)
    assert access.environment["PIP_CERT"] == access.environment["SSL_CERT_FILE"] == CA_BUNDLE_TARGET


def test_certificates_of_the_environment_serve_where_pip_names_none(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificate")
    assert package_access({}, {"REQUESTS_CA_BUNDLE": str(bundle)}).ca_bundle == bundle


def test_settings_that_only_concern_the_host_stay_there() -> None:
    access = package_access({"cache-dir": "/home/me/.cache", "user": "true", "target": "/opt/x"}, {})
    assert access.environment == {}


def test_proxies_reach_the_container_and_the_build() -> None:
    access = package_access({}, {"https_proxy": "http://proxy.test:3128", "HOME": "/root"})
    assert access.environment == access.proxies == {"https_proxy": "http://proxy.test:3128"}


def test_index_on_loopback_needs_the_hosts_network() -> None:
    assert package_access({"index-url": "http://127.0.0.1:3141/simple"}, {}).host_network
    assert package_access({}, {"HTTP_PROXY": "http://localhost:3128"}).host_network
    assert not package_access({"index-url": "https://index.test"}, {"NO_PROXY": "localhost"}).host_network
