import adr_minutes_desk
import pytest

from kairos.adr.baseline import baseline
from kairos.adr.signal import signal


@pytest.fixture(scope="session")
def raw_minutes(tmp_path_factory):
    """A simulated desk with minutes, models and a gate; the signal is not made yet."""
    return adr_minutes_desk.build(tmp_path_factory.mktemp("minutes") / "desk")


@pytest.fixture(scope="session")
def minutes(raw_minutes, tmp_path_factory):
    """The same with baseline and signal."""
    desk = adr_minutes_desk.copy(raw_minutes, tmp_path_factory.mktemp("signal") / "desk")
    baseline(desk)
    signal(desk)
    return desk
