"""Files that people name: replaced as a whole, or written through."""

import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from deploy.files import check_writable, write_json

DOCUMENT = {"requests": 3}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path, old = tmp_path / "record.json", tmp_path / "old.json"
    path.write_text("old")
    os.link(path, old)
    check_writable(path)
    write_json(path, DOCUMENT)
    assert (msgspec.json.decode(path.read_bytes()), old.read_text()) == (DOCUMENT, "old")


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    link, target = tmp_path / "latest.json", tmp_path / "record.json"
    link.symlink_to(target)
    for _ in range(2):  # without and with the target
        check_writable(link)
        write_json(link, DOCUMENT)
        assert link.is_symlink()
        assert msgspec.json.decode(target.read_bytes()) == DOCUMENT
        target.write_text("old")


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    check_writable(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_json(pipe, DOCUMENT)
    reader.join()
    assert msgspec.json.decode(read[0]) == DOCUMENT
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_that_takes_nothing_is_an_error_and_stays_a_device(tmp_path: Path) -> None:
    device = tmp_path / "full"
    device.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_json(device, DOCUMENT)
    assert stat.S_ISCHR(device.stat().st_mode)
