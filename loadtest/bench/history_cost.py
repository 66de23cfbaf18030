"""What it costs the load generator to write an operation down: `python -m tests.unit.loadtest.history.cost`."""

import tempfile
import time
from pathlib import Path

from loadtest.history import VERSION, Header, Writer, now, read
from loadtest.history import writer as writing
from loadtest.ledger import Action, Answer, Expected, Judgement, Login, Operation, Outcome, Span
from loadtest.observation import Observation
from loadtest.recording import op_of

OPERATIONS = 50_000
PER_FLUSH = 300  # a flush every half second at 600 requests per second


def observation(number: int) -> Observation:
    who = f"shopper-{number % 30}"
    cart = {f"apple of {who}": number % 9, f"pear of {who}": number % 7}
    expected = Expected(
        "alice", Login.IN, Span(number, number), {item: Span(count, count) for item, count in cart.items()}
    )
    started = now()
    return Observation(
        who=who,
        account="alice",
        session=f"{who}#2",
        operation=Operation(Action.LOOK),
        answer=Answer(Outcome.OK, "alice", number, cart, False),
        judgement=Judgement(frozenset(), True, expected),
        expected=expected,
        method="GET",
        path="/me",
        status=200,
        error=None,
        node=f"node-{number % 3}",
        upstream="127.0.0.1:41234",
        upstream_status="200",
        started=started,
        ended=started + 0.0123 * (number % 7),
    )


def main() -> None:
    observations = [observation(number) for number in range(OPERATIONS)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl.gz"
        for level in (1, 6, 9):
            writing.LEVEL = level
            began = time.process_time()
            with Writer(path, Header(version=VERSION, title="cost", started=now())) as writer:
                for number, one in enumerate(observations):
                    writer.write(op_of(one))
                    if number % PER_FLUSH == 0:
                        writer.flush()
            cpu = (time.process_time() - began) / OPERATIONS * 1e6
            print(f"level {level}: {cpu:.1f} µs and {path.stat().st_size / OPERATIONS:.1f} bytes an operation")
        began = time.process_time()
        events = sum(1 for _ in read(path))
        print(f"read: {(time.process_time() - began) / events * 1e6:.1f} µs an operation")


if __name__ == "__main__":
    main()
