"""The planted faults still fit the code."""

import pytest

from tests.planted_faults import FAULTS, ROOT, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_still_fits_the_code(fault: Fault) -> None:
    hint = f"where this code or its tests are now belongs in tests/planted_faults.toml, at {fault.name!r}"
    path = ROOT / fault.file
    assert path.is_file(), f"{fault.file} is gone: {hint}"
    assert path.read_text().count(fault.old) == 1, f"{fault.file} must contain {fault.old!r} once: {hint}"
    assert (ROOT / fault.module).is_file(), f"{fault.module} is gone: {hint}"


def test_the_names_of_the_planted_faults_differ() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30
