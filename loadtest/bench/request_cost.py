"""Measure what making a request and reading its answer costs: `python -m loadtest.bench.request_cost [FILE]`.

FILE describes a target whose answers are those of docs/http-api.md; by default it is the built-in one. No network.
"""

import statistics
import sys
import time
from pathlib import Path

from loadtest.browser import Browser
from loadtest.conversation import Conversation
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.description import read_description
from loadtest.described.interface import http_interface
from loadtest.history import Action, OpOutcome
from loadtest.operations import Operation, Response

TIMES, OPERATIONS = 9, 2_000
_CART = b'{"cart":{"apple of shopper-3":2,"pear of shopper-3":1}'
ANSWERS = {
    Operation(Action.LOOK): _CART + b',"node":"node-2","user":"alice","visits":3}',
    Operation(Action.VISIT): b'{"visits":4}',
    Operation(Action.ADD, "apple of shopper-3", 1): _CART + b"}",
}
_HEADERS = {"Content-Type": ["application/json"]}


def measure(adapter: DescribedAdapter, operation: Operation, body: bytes) -> float:
    """Return the microseconds of CPU that an operation takes, its cookies included: the median of nine times 2,000."""
    browser = Browser("shopper-3")
    browser.receive(["session=one"], browser.sending(), Action.LOGIN)
    response = Response(200, body, lambda name: _HEADERS.get(name, []))
    costs = []
    for _ in range(TIMES):
        began = time.process_time()
        for _ in range(OPERATIONS):
            exchange = adapter.exchange(operation, "alice", "secret", browser.value)
            talk = Conversation(exchange, browser, operation.action)
            assert talk.headers is not None
            talk.take(response)
            assert talk.answer is not None
            assert talk.answer.outcome is OpOutcome.OK, talk.answer.error
        costs.append((time.process_time() - began) / OPERATIONS * 1e6)
    return statistics.median(costs)


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    adapter = DescribedAdapter.from_file(read_description(file).file) if file is not None else http_interface()
    for operation, body in ANSWERS.items():
        print(f"{operation.action}: {measure(adapter, operation, body):.1f} µs an operation")


if __name__ == "__main__":
    main()
