"""Machines to test, one for all tests of a file, and this host to compare with."""

import pytest

from tests.system.machines import Guest, Host


@pytest.fixture(scope="module")
def guest():
    """Our machine with the standard image."""
    guest = Guest()
    yield guest
    guest.close()


@pytest.fixture(scope="session")
def host():
    """The reference. A host that can't run it must not pass for one that agrees: the tests fail, and say why."""
    host = Host()
    why_not = host.why_not()
    if why_not:
        pytest.fail(f"nothing to compare with: {why_not} (run as root, or allow unprivileged user namespaces)")
    return host
