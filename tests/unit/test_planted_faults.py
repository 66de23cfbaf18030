"""The planted faults still fit the code."""

from collections.abc import Iterator

from tests.planted_faults import FAULTS, ROOT, Fault

HARNESSES = ROOT / "tests" / "support" / "harnesses" / "__init__.py"


def test_every_planted_fault_still_fits_the_code() -> None:
    """Where the code or its tests are now belongs in tests/planted_faults.toml."""
    assert [line for fault in FAULTS for line in find_mistakes(fault)] == []


def find_mistakes(fault: Fault) -> Iterator[str]:
    path = ROOT / fault.file
    if not path.is_file():
        yield f"{fault.name}: {fault.file} is gone"
    elif path.read_text().count(fault.old) != 1:
        yield f"{fault.name}: {fault.file} must contain {fault.old!r} once"
    module = ROOT / fault.module
    if not module.is_file():
        yield f"{fault.name}: {fault.module} is gone"
    # A test's name, or the store of one that runs on many.
    elif fault.select not in module.read_text() + HARNESSES.read_text():
        yield f"{fault.name}: {fault.module} has no test {fault.select!r}"


def test_the_names_of_the_planted_faults_differ() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30
