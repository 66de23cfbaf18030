"""The guide to stores and policies: its figures come from a folder of results, its sentences from the template."""

from pathlib import Path

import pytest

from deploy.files import write_json
from loadtest.report.choosing import MATRIX, render_guide
from tests.support.node import ROOT
from tests.support.report_results import Run


def write_matrix(folder: Path, *rows: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    write_json(folder / MATRIX, {"version": 2, "rows": rows})


def row(store: str, nodes: int, balancing: str | None, cpu: float = 0.9) -> dict[str, object]:
    return {
        "store": store, "nodes": nodes, "balancing": balancing, "cpu_ms": {"node": cpu, "proxy": 0.1},
        "store_operations": 4.24, "store_reads": 1.35, "load": {"share_logged_out": 0.75},
    }  # fmt: skip


def test_the_guide_has_the_figures_of_the_folder(tmp_path: Path) -> None:
    Run(failed=2).write(tmp_path)
    Run(name="kill-sticky-node", number=3, lost=3).write(tmp_path)
    write_matrix(tmp_path / "matrix-2", row("redis", 3, "sticky", 0.94), {"store": "sql", "nodes": 1, "error": "x"})
    write_matrix(tmp_path / "matrix-1", row("redis", 3, "sticky", 9.0), row("memory", 1, None))
    text = render_guide(tmp_path)
    assert "(`session-cluster failover run kill-node`): Nobody was logged out and nothing was lost; 2 requests" in text
    assert "kill-sticky-node`): 1 of 1 users was logged out; no request failed." in text
    assert "rolling-restart`): Not measured." in text
    rows = [line for line in text.splitlines() if line.endswith("75% |")]
    assert rows == ["| memory | 1 | - | 0.90 | 4.2 | 1.4 | 75% |", "| redis | 3 | sticky | 0.94 | 4.2 | 1.4 | 75% |"]


def test_a_damaged_matrix_is_named(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix" / MATRIX).write_text("{}")
    with pytest.raises(ValueError, match=rf"^{tmp_path}/matrix/matrix.json is not a load matrix: "):
        render_guide(tmp_path)


def test_the_sentences_of_the_page_are_those_of_the_template(tmp_path: Path) -> None:
    """What `--choosing` writes is docs/choosing.md but for the figures."""
    Run().write(tmp_path)
    write_matrix(tmp_path / "matrix", row("redis", 3, "sticky"))

    def sentences(text: str) -> list[str]:
        lines = [line.partition("`): ")[0] for line in text.splitlines() if not line.startswith("Figures of ")]
        return [line for line in lines if not line.endswith("% |")]

    assert sentences(render_guide(tmp_path)) == sentences((ROOT / "docs/choosing.md").read_text())
