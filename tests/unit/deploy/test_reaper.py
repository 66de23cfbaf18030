"""What a command started ends with it."""

import signal
import subprocess
import threading
from pathlib import Path

from deploy.local.processes import ProcessReaper


def test_a_group_that_has_ended_is_forgotten_as_its_id_may_go_to_another_program(tmp_path: Path) -> None:
    reaper = ProcessReaper(tmp_path / "state", keep=False)
    forgotten, other = (subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2))
    try:
        for process in (forgotten, other):
            reaper.adopt(process.pid)
        reaper.forget(forgotten.pid)
        closing = threading.Thread(target=reaper.close)
        closing.start()
        assert other.wait(10) == -signal.SIGTERM
        closing.join()
        assert forgotten.poll() is None
    finally:
        for process in (forgotten, other):
            process.kill()
            process.wait()
