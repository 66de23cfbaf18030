"""What the page is made of: texts in both languages, vendored files as they were published, a page within its size."""

import gzip
import hashlib
import re
import tomllib

import pytest

from deploy import MemberState, StoreKind
from deploy.spec import DATABASE_SERVERS
from loadtest.claims.claim import Verdict
from loadtest.console.commands import COMMANDS, NOT_WATCHED, ClusterStage, Network
from loadtest.console.exchanges import Step
from loadtest.console.experiments import RunStage
from loadtest.console.live_claims import ClaimState
from loadtest.console.messages import STATIC, read_catalogue
from loadtest.console.stops import STOPS
from loadtest.console.stored import Found
from loadtest.experiment import Place
from loadtest.report.tables import MARKS
from proxy import Balance

LANGUAGES = {"en", "ko"}
SCRIPTS = sorted(STATIC.glob("*.js"))
PYTHON = sorted(STATIC.parent.glob("*.py"))
VENDOR = STATIC / "vendor"
FOUR_KINDS = ("memory", "redis", "sql", "file")
MADE = (
    *(f"store_{name}" for name in StoreKind if name not in DATABASE_SERVERS),
    *(f"policy_{name}" for name in Balance),
    *(f"network_{name}" for name in Network),
    *(f"net_{name}" for name in Network if name is not Network.OK),
    *(f"stage_{name}" for name in ClusterStage),
    *(f"{kind}_{name}" for kind in ("state", "now") for name in MemberState),
    "state_failing",
    *("no_load_here", "no_load_chart", "containers_alone", "machines_alone"),
    *(f"not_watched_{name}" for name in NOT_WATCHED),
    *(f"do_{name}" for name in COMMANDS),
    *(f"{verb}_help" for verb in ("kill", "pause", "resume", "drain", "restart")),
    *(f"part_{part}" for part in ("primary", "replica")),
    *(f"kind_{kind}" for kind in ("queued", "started", "failed", "dropped")),
    *(f"step_{step}{end}" for step in Step for end in ("", "_help")),
    *(f"record_{found}" for found in Found),
    *(f"tour_{stop.name}_{part}" for stop in STOPS for part in ("title", "say", "watch")),
    *(f"tour_phase_{one.name}" for stop in STOPS for one in stop.measurements),
    *(f"run_{stage}" for stage in RunStage),
    *(f"run_place_{place}" for place in Place),
    *(f"claim_{state}" for state in ClaimState),
    *(f"verdict_{name}" for name in ("holds", "few", "broken", "unseen")),
    *(f"experiment_{verdict.name.lower()}" for verdict in Verdict),
    *(f"attribute_{name}" for name in ("httponly", "samesite", "path", "secure", "max_age", "expires")),
    *(f"attribute_{name}_absent" for name in ("httponly", "samesite", "secure")),
    "tour_not_measured",
    *(
        f"kind_of_{kind}{end}"
        for kind in ("memory", "redis", "sql", "file")
        for end in ("", "_what", "_for", "_against")
    ),
)
"""Keys that are put together, so no search finds them in the code."""
HELD = {"live", "connecting", "lost", "kill", "pause", "resume", "drain", "restart", "nodes", "users"} | {
    *("signature_right", "signature_wrong", "signature_unknown", "key_is_id", "key_is_hash"),
    *("tour_holds", "tour_broken", "tour_few"),
    *("load_paused", "no_load"),
    *("means_nobody", "means_forged", "means_cart", "means_cart_new", "means_replay_refused"),
}
"""Keys that are values of variables."""


def used_keys() -> set[str]:
    scripts = "\n".join(path.read_text() for path in SCRIPTS)
    python = "\n".join(path.read_text() for path in PYTHON)
    found = set(re.findall(r'\bt\("(\w+)"', scripts)) | set(re.findall(r'key: "(\w+)"', scripts))
    found |= set(re.findall(r'<\$\{Figure\} name="(\w+)"', scripts)) | set(re.findall(r'label: "(\w+)"', scripts))
    found |= set(re.findall(r'\b(?:message|_log_seen)\(\s*"(\w+)"', python))
    return found | set(MADE) | HELD


def test_every_text_is_in_the_catalogue_and_no_other() -> None:
    assert used_keys() - read_catalogue().keys() == set()
    assert read_catalogue().keys() - used_keys() == set()


def test_every_text_is_in_both_languages_with_the_same_values() -> None:
    catalogue = read_catalogue()
    assert {key for key, texts in catalogue.items() if set(texts) != LANGUAGES} == set()
    assert {key for key, texts in catalogue.items() if not all(text.strip() for text in texts.values())} == set()
    assert {key for key, texts in catalogue.items() if values(texts["en"]) != values(texts["ko"])} == set()


def values(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_every_store_is_of_a_kind_that_has_a_card() -> None:
    (kinds,) = re.findall(r"const KINDS = \{(.+)\};", (STATIC / "store_kinds.js").read_text())
    assert set(re.findall(r'"([a-z-]+)"', kinds)) == set(StoreKind) - DATABASE_SERVERS.keys()
    assert tuple(re.findall(r"(\w+): \[", kinds)) == FOUR_KINDS


def test_verdicts_have_the_words_of_the_report() -> None:
    names = {Verdict.HOLDS: "holds", Verdict.NOT_ENOUGH_DATA: "few", Verdict.BROKEN: "broken"}
    names[Verdict.NOT_LOOKED_FOR] = "unseen"
    assert {verdict: read_catalogue()[f"verdict_{name}"]["en"] for verdict, name in names.items()} == {
        verdict: words for verdict, (_, words, _) in MARKS.items()
    }


def test_vendored_files_are_those_that_were_published() -> None:
    listed = tomllib.loads((VENDOR / "vendored.toml").read_text())["file"]
    for one in listed:
        assert hashlib.sha256((VENDOR / one["file"]).read_bytes()).hexdigest() == one["sha256"], one["name"]
        assert (VENDOR / one["license_file"]).read_text().strip()
        assert one["version"]
        assert one["license"] in {"MIT", "Apache-2.0"}
    assert {path.name for path in VENDOR.glob("*.js")} == {one["file"] for one in listed}


def test_the_page_is_small() -> None:
    def size(paths: list[str]) -> int:
        return sum(len(gzip.compress((STATIC / path).read_bytes())) for path in paths)

    files = [
        str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.suffix in {".js", ".css", ".json", ".html"}
    ]
    assert size([path for path in files if path.startswith("vendor/")]) <= 30_000
    assert size(files) <= 80_000


@pytest.mark.parametrize("path", [*SCRIPTS, *STATIC.glob("*.html")], ids=lambda path: path.name)
def test_the_page_has_no_code_in_markup_and_puts_no_markup_in_as_text(path: object) -> None:
    text = path.read_text()  # type: ignore[attr-defined]
    for forbidden in (
        "innerHTML",
        "dangerouslySetInnerHTML",
        "eval(",
        "new Function",
        "<script>",
        " onclick=",
        "http://www",
    ):
        assert forbidden not in text
