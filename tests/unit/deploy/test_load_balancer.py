"""A load balancer in front of machines that does not start leaves nothing to the next cluster on them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.spec import ClusterError
from deploy.swarm import load_balancer
from deploy.swarm.load_balancer import LoadBalancer
from proxy import NginxError


@pytest.mark.parametrize("error", [NginxError("no"), ClusterError("no"), OSError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["install", "run_beside", "answers"])
def test_a_load_balancer_that_does_not_start_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    done = []

    def do(name: str, result: Any = None) -> Any:
        def act(*_: object) -> Any:
            done.append(name)
            if name == step:
                raise error
            return result

        return act

    process = SimpleNamespace(
        ended=lambda: False, terminate=do("terminate"), wait_ended=do("wait_ended"), log_tail=lambda: ""
    )
    machines: Any = SimpleNamespace(folder=tmp_path, run_beside=do("run_beside", process))
    nginx = SimpleNamespace(install=do("install"), command=lambda *_: [])
    monkeypatch.setattr(load_balancer, "Nginx", lambda: nginx)
    monkeypatch.setattr(load_balancer, "_render", lambda *_: "")
    monkeypatch.setattr(load_balancer, "http_ok", do("answers"))
    with pytest.raises(ClusterError if isinstance(error, NginxError) else type(error)):
        LoadBalancer(machines, 1)
    assert list(tmp_path.iterdir()) == []
    assert ("terminate" in done) is (step == "answers"), "only what was started is ended"
