import audit_adr_desk
import pytest


@pytest.fixture(scope="session")
def adr_root(tmp_path_factory):
    """A small simulated ADR desk on which no step has been run."""
    return audit_adr_desk.write(tmp_path_factory.mktemp("audit_adr") / "desk")
