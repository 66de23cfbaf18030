"""What machines need is found, and their images come from where they are. Nothing of them runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.swarm import machines as module
from deploy.swarm import namespaces
from deploy.swarm.images import copy_images
from deploy.swarm.machines import Machines


def make_program(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The engine's own folder, and the only one of PATH. All programs but docker-init are in the latter."""
    libexec, path = tmp_path / "libexec", tmp_path / "bin"
    monkeypatch.setattr(namespaces, "_INIT_FOLDERS", (str(tmp_path / "nowhere"), str(libexec)))
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for name in ("dockerd", "docker", "ip", "iptables-restore", "nsenter", "unshare"):
        make_program(path, name)
    return libexec, path


def test_the_init_is_found_in_the_engines_folders_and_in_path(folders: tuple[Path, Path]) -> None:
    libexec, path = folders
    assert namespaces.find_init() is None
    reason = namespaces.why_no_machines()
    assert reason is not None
    assert reason.startswith("machines need docker-init, which is neither in PATH nor in ")
    in_path = make_program(path, "docker-init")
    assert namespaces.find_init() == in_path
    of_engine = make_program(libexec, "docker-init")
    assert namespaces.find_init() == of_engine, "as the engine does"
    assert namespaces.why_no_machines() is None


def test_the_engines_folders_are_those_of_its_packages() -> None:
    assert {"/usr/libexec/docker", "/usr/local/libexec/docker", "/usr/lib/docker"} <= set(namespaces._INIT_FOLDERS)


class Booted(Machines):
    """Machines that are only noted; the first has its images in these folders."""

    def __init__(self, folder: Path, *layout: str) -> None:
        super().__init__(["shop:1"])
        self._state: Any = SimpleNamespace(path=folder)
        self.layout = layout
        self.events: list[str] = []

    def _boot(self, name: str) -> None:
        self.events.append(f"boot {name}")
        for each in self.layout if name == "machine-1" else ():
            file = self._disk(name) / "data" / each
            file.parent.mkdir(parents=True)
            file.write_text(each)

    def _wait_for_engine(self, name: str) -> None:
        self.events.append(f"ready {name}")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The machines whose engines have loaded images."""
    loaded: list[str] = []
    monkeypatch.setattr(module, "load_images", lambda engine, _: loaded.append(engine.host.split("/")[-2]))
    return loaded


def test_images_of_overlay2_are_copied_to_the_other_machines_before_they_boot(
    tmp_path: Path, loaded: list[str]
) -> None:
    machines = Booted(tmp_path, "image/overlay2/repositories.json", "overlay2/abc/diff/layer")
    machines._boot_all()
    assert loaded == ["machine-1"]
    for name in ("machine-2", "machine-3"):
        layer = tmp_path / name / "data/overlay2/abc/diff/layer"
        assert layer.samefile(tmp_path / "machine-1/data/overlay2/abc/diff/layer"), "a hard link"
        assert (tmp_path / name / "data/image/overlay2/repositories.json").is_file()


@pytest.mark.parametrize(
    "layout", [("containerd/daemon/meta.db",), ("image/vfs/repositories.json", "vfs/dir/layer"), ("overlay2/l/x",)]
)
def test_images_in_another_store_are_loaded_by_each_engine_when_it_answers(
    tmp_path: Path, loaded: list[str], layout: tuple[str, ...]
) -> None:
    machines = Booted(tmp_path, *layout)
    machines._boot_all()
    assert loaded == ["machine-1", "machine-2", "machine-3"]
    assert machines.events[-2:] == ["ready machine-2", "ready machine-3"]
    assert not copy_images(tmp_path / "machine-1/data", tmp_path / "other")
    assert not (tmp_path / "other").exists()
