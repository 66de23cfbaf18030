"""Sentences of experiments, claims and reports in Korean: none is missing, and values stay."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import loadtest
from deploy.spec import DATABASE_SERVERS, ClusterSpec
from loadtest.claims.claim import Verdict
from loadtest.console.experiments import make_stages
from loadtest.console.live_claims import judge_live
from loadtest.console.stops import STOPS
from loadtest.experiment import Case, make_heading
from loadtest.experiments import EXPERIMENTS
from loadtest.history import GAVE_UP, Op, OpOutcome, Probe
from loadtest.report.korean import CATALOGUE, say
from loadtest.report.page import HAPPENED
from loadtest.report.plots import Fate, Marks, draw, make_timeline
from loadtest.report.tables import MARKS
from loadtest.results import OTHER_LOSSES, describe_machine
from loadtest.target import describe
from tests.support.report_results import BEGAN, look

LOADTEST = Path(loadtest.__file__).parent
VERDICTS = {"holds", "broken", "not_enough", "require", "require_answers"}
"""Functions whose arguments are shown beside a claim."""
NAMES = {"GET", "POST", "Redis", "SQLite", "SQL", "AOF", "express-session", "nginx", "DNS"}
NAMES |= {"Retry-After", "min-replicas-to-write", "noeviction", "SIGSTOP", "p99", "ms", "MB", "N", "GETs", "matplotlib"}
NAMES |= {
    "Swarm",
    "machine-2",
    "machine-3",
    "node-1",
    "node-2",
    "sentinel-1",
    "N-1",
    "session-cluster",
    "report",
    "x",
    "alice",
}
NAMES |= {"HAProxy", "MemoryDB", "Jepsen", "Django", "Flask-Session", "redis-py", "allkeys-lru", "http_503", "WAIT"}
NAMES |= {server.title for server in DATABASE_SERVERS.values()}
NAMES |= {"NODE_TIMEOUT", "down-after", "appendfsync", "everysec"}


def foreign(text: str) -> set[str]:
    """The English words in the Korean text."""
    return set(re.findall(r"\b[A-Za-z][\w-]*", CATALOGUE.to_korean(text), re.ASCII)) - NAMES


def texts_of_experiments() -> Iterator[str]:
    for one in EXPERIMENTS:
        yield from (one.title, one.hypothesis)
        for case in (Case(one, variant) for variant in one.variants):
            yield from (case.variant.title, case.variant.hypothesis, case.fault, case.title, case.reference)
            yield from (make_heading(case.title, "flask", place) for place in case.variant.places)
            yield from (stage.words for stage in make_stages(case))
            yield from (phase.name for phase in case.phases)
            yield from (claim.claim for claim in judge_live(case, None))
    for stop in STOPS:
        yield from (claim.text for one in stop.measurements for claim in one.claims)


def texts_of_claims() -> Iterator[str]:
    """What claims say of a run, with values that are 7."""
    for path in sorted((LOADTEST / "claims").glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in VERDICTS:
                for text in map(_read, call.args):
                    if text and path.name != "claim.py":
                        yield f"7 {text}; 7 are needed" if call.args[0] is not call.args[-1] else text


def _read(value: ast.expr) -> str:
    if isinstance(value, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in value.values)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def test_every_experiment_is_in_korean() -> None:
    assert {text: words for text in set(texts_of_experiments()) if (words := foreign(text))} == {}


def test_every_finding_of_a_claim_is_in_korean() -> None:
    texts = set(texts_of_claims())
    assert len(texts) > 40
    needed = re.compile(r"7 (.*); 7 are needed")
    unknown = {text for text in texts if foreign(text)}
    # An argument of `require` is what is counted, or what was seen: it is known as one of them.
    assert {text for text in unknown if not (found := needed.fullmatch(text)) or foreign(found[1])} == set()


def test_every_text_of_the_report_is_in_korean() -> None:
    template = (LOADTEST / "report" / "templates" / "report.html").read_text()
    texts = {text.replace("{}", "7") for text in re.findall(r'_\("([^"]+)"', template)}
    texts |= {words for _, words, _ in MARKS.values()} | set(HAPPENED.values())
    texts |= {f"7 {text}" for pair in OTHER_LOSSES.values() for text in pair}
    texts |= {name.replace("_", " ") for name in (*describe(ClusterSpec()), *describe_machine())}
    assert len(MARKS) == len(Verdict)
    assert {text: words for text in texts if (words := foreign(text))} == {}
    shown = re.sub(r"<style>.*?</style>|\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|<[^>]*>", " ", template, flags=re.DOTALL)
    assert (
        re.findall(r"[A-Za-z]{2,}", shown.replace("p50, ms", "").replace("p99, ms", "").replace("p99.9, ms", "")) == []
    )


def test_every_error_that_the_page_of_the_console_shows_is_in_korean() -> None:
    """What scripts alone can send wrong (400, 403, 415, 421) is in English."""
    texts = {"the load generator ended early (exit 7): it logged nothing", "the load generator failed (exit 7): 7"}
    for path in (LOADTEST / "console").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "abort":
                status, text = call.args
                if getattr(status, "value", 0) in {404, 409, 503}:
                    texts.add(_read(text))
    assert len(texts) > 5
    assert {text: words for text in texts if (words := foreign(text))} == {}


def test_every_word_in_a_picture_is_in_korean_but_the_names_of_nodes() -> None:
    lost = look(5, "node-1")
    ops: list[Op | Probe] = [
        lost,
        look(5, "memory"),  # a name that is a word, too
        look(5, outcome=OpOutcome.FAIL, error=""),
        look(5, outcome=OpOutcome.UNKNOWN),
        look(5, outcome=OpOutcome.UNKNOWN, error=GAVE_UP),
        Probe(target="session", started=BEGAN + 5, ended=BEGAN + 5.02, outcome=OpOutcome.FAIL),
    ]
    shown = make_timeline(ops, BEGAN, BEGAN + 10, BEGAN + 4, [lost])
    marks = Marks(fault=(0.0, 3.0), arrived=-2.0, losses={what: [1.0] for what in HAPPENED.values()})
    words = re.findall(r"<text[^>]*>([^<]*)</text>", draw(shown, marks, translate=CATALOGUE.to_korean))
    assert {"장애", "되돌림", "로그아웃됨: 1", "중앙값"} <= set(words)
    assert len(words) > len(Fate) + len(HAPPENED)
    assert [word for word in words if re.search(r"[A-Za-z]{3}", word)] == ["memory", "node-1"]


@pytest.mark.parametrize(
    ("english", "korean"),
    [
        (
            "8 of 24 users were logged out, 3 updates were lost and 1 logout was undone; no request failed",
            "사용자 24명 중 8명이 로그아웃됨, 변경 3건이 사라짐, 로그아웃 1건이 취소됨; 실패한 요청 없음",
        ),
        (
            "20 users sent 1,234 requests (40/s); after 5 s: kill node-2, for 10 s. Nobody was logged out and nothing "
            "was lost; no request failed.",
            "사용자 20명이 요청 1,234건을 보냄 (초당 40건); 5초 뒤: node-2 강제 종료, 10초 동안. 로그아웃된 사용자도 "
            "사라진 것도 없음; 실패한 요청 없음.",
        ),
        ("failed: 2 x POST /visits: status 502", "실패: 2 x POST /visits: 상태 502"),
        ("12 requests made while logged in; 60 are needed", "로그인 상태의 요청 12건; 60건 필요"),
        ("replicas cut off, primary killed, guarded", "레플리카 단절, 프라이머리 강제 종료, 보호함"),
        ("what a file from elsewhere says, and more", "what a file from elsewhere says, and more"),
        ("kill a node, shared store (compose)", "노드 강제 종료, 공유 저장소 (컨테이너)"),
        ("0.34 s", "0.34초"),
        ("docker has no `compose`: install the compose plugin", "docker에 `compose`가 없음: compose 플러그인을 설치"),
        (
            "GET /me, status 200 at 21:03:07.120 by node-1, after POST /cart (tea), status 204 at 21:03:07.101",
            "GET /me, 상태 200 (21:03:07.120, node-1), 그 앞 POST /cart (tea), 상태 204 (21:03:07.101)",
        ),
        ("", ""),
    ],
)
def test_a_sentence_is_translated_by_its_clauses_with_their_values(english: str, korean: str) -> None:
    assert say(english).ko == korean
    assert str(say(english)) == english


def test_a_korean_clause_has_all_values_of_the_english_one() -> None:
    for english, korean in CATALOGUE.texts.items():
        assert set(re.findall(r"\{(\d)\}", korean)) == set(map(str, range(english.count("{}")))), english
