import os

import pytest

from services.cli.setup.cache import exclusive, is_complete, mark_complete
from services.cli.setup.failure import SetupError


@pytest.fixture
def made(cache):
    directory = cache / "envs" / "mesh-1"
    directory.mkdir(parents=True)
    mark_complete(directory, "note")
    assert is_complete(directory)
    return directory


@pytest.mark.parametrize("above", [0, 1, 2])
def test_what_everybody_can_write_is_not_run(made, above):
    place = [made, *made.parents][above]
    place.chmod(0o777)
    with pytest.raises(SetupError, match=f"everybody can write to {place}\n"):
        is_complete(made)
    with pytest.raises(SetupError, match="everybody"), exclusive(made, lambda: None):
        pass
    place.chmod(0o1777)
    assert is_complete(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("above", [0, 1, 2])
def test_what_is_somebody_elses_is_not_run(made, above):
    place = [made, *made.parents][above]
    os.chown(place, 12345, 12345)
    with pytest.raises(SetupError, match=f"{place} belongs to another user"):
        is_complete(made)


def test_what_is_not_there_is_not_complete(cache):
    assert not is_complete(cache / "envs" / "mesh-1")
