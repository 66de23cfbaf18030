"""A DNS server with one name, whose addresses change as when Docker scales a service."""

import socketserver
import threading
from typing import Self

import dns.message
import dns.rdatatype
import dns.rrset


class Dns(socketserver.UDPServer):
    """Answers A queries with `addresses` in this order, any other with none. A context manager."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.addresses = addresses
        self.queries = 0
        self.address = f"127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(socketserver.BaseRequestHandler):
    server: Dns

    def handle(self) -> None:
        data, socket = self.request
        query = dns.message.from_wire(data)
        answer, question = dns.message.make_response(query), query.question[0]
        if question.rdtype == dns.rdatatype.A:
            # Several addresses in one set would be shuffled.
            answer.answer += [dns.rrset.from_text(question.name, 1, "IN", "A", each) for each in self.server.addresses]
        self.server.queries += 1
        socket.sendto(answer.to_wire(), self.client_address)
