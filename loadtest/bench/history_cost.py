"""Measure what an operation of a history costs to write, read and check: `python -m loadtest.bench.history_cost`."""

import tempfile
import time
from pathlib import Path

from loadtest.checker import Checker
from loadtest.history import VERSION, Action, Header, Op, OpOutcome, PartWriter, Writer, now, read, read_part, writer

OPERATIONS = 50_000
RATE = 600  # operations per second
PER_FLUSH = 300  # a flush every half second
USERS = 30


def make_op(number: int) -> Op:
    """Return an operation of one of 30 users: each logs in, and then looks."""
    who, started = f"shopper-{number % USERS}", 1.7e9 + number / RATE
    is_login = number < USERS
    return Op(
        who=who,
        account="alice",
        session=f"{who}#2",
        action=Action.LOGIN if is_login else Action.LOOK,
        outcome=OpOutcome.OK,
        user="alice",
        visits=0,
        cart={f"apple of {who}": 0, f"pear of {who}": 0},
        replaced=is_login,
        method="POST" if is_login else "GET",
        path="/login" if is_login else "/me",
        status=200,
        node=f"node-{number % 3}",
        upstream="127.0.0.1:41234",
        upstream_status="200",
        expected_user="alice",
        started=started,
        ended=started + 0.0123 * (number % 7),
    )


def write(history: PartWriter, ops: list[Op]) -> float:
    """Return the microseconds of CPU that an operation takes."""
    began = time.process_time()
    with history:
        for number, op in enumerate(ops):
            history.write(op)
            if number % PER_FLUSH == 0:
                history.flush()
    return (time.process_time() - began) / len(ops) * 1e6


def main() -> None:
    ops = [make_op(number) for number in range(OPERATIONS)]
    with tempfile.TemporaryDirectory() as folder:
        part, whole = Path(folder) / "part-1.jsonl", Path(folder) / "history.jsonl.gz"
        cost = write(PartWriter(part), ops)
        print(f"part: {cost:.1f} µs and {part.stat().st_size / OPERATIONS:.1f} bytes an operation")
        for level in (1, 6, 9):
            writer.LEVEL = level
            cost = write(Writer(whole, Header(version=VERSION, title="cost", started=now())), ops)
            print(f"whole, level {level}: {cost:.1f} µs and {whole.stat().st_size / OPERATIONS:.1f} bytes an operation")
        for name, events in (("part", read_part(part)), ("whole", read(whole))):
            began = time.process_time()
            count = sum(1 for _ in events)
            print(f"read {name}: {(time.process_time() - began) / count * 1e6:.1f} µs an operation")
    began, checker = time.process_time(), Checker()
    for op in ops:
        checker.feed(op)
    assert not checker.findings().examples
    print(f"check: {(time.process_time() - began) / len(ops) * 1e6:.1f} µs an operation")


if __name__ == "__main__":
    main()
