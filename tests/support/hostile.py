"""Requests with secrets in each place where a log might repeat them, and with bytes that break lines of logs."""

ID = "Q3Vyc2VkLWJlLXRoZS1vbmUtd2hvLXJlYWRzLXRoaXM"
SECRET = "hunter2hunter2"
HOSTILE = {
    "a password in the query": f"GET /login?password={SECRET} HTTP/1.1",
    "an id in the path": f"GET /sessions/{ID}.{ID} HTTP/1.1",
    "an id that is encoded in part": f"GET /s%3A%51{ID[1:]} HTTP/1.1",
    "an id that is encoded whole": "GET /" + "".join(f"%{ord(each):02X}" for each in ID) + " HTTP/1.1",
    "an id after a long path": f"GET /{'a/' * 126}{ID} HTTP/1.1",
    "an id beyond the bound": f"GET /{'a/' * 200}{ID} HTTP/1.1",
    "another host": f"GET http://evil\xff/?password={SECRET} HTTP/1.1",
    "no method": f"\x01\x02 /login?password={SECRET} HTTP/1.1",
    "a long method": f"{'A' * 5000} /login?password={SECRET} HTTP/1.1",
    "another version": f"GET /login?password={SECRET} HTTP/9.9",
    "no version": f"GET /login?password={SECRET}",
    "quotes and backslashes": f'GET /"\\"{{}}?"{SECRET} HTTP/1.1',
    "bytes that are not UTF-8": f"GET /\xff\xfe\xc3?{SECRET} HTTP/1.1",
    "a NUL": f"GET /%00?{SECRET} HTTP/1.1",
    "a long path": f"GET /{'ab/' * 2500} HTTP/1.1",
    "a path that is too long": f"GET /{'ab/' * 20000}?{SECRET} HTTP/1.1",
    "a fragment": f"GET /a#{SECRET} HTTP/1.1",
    "parameters": f"GET /a;password={SECRET} HTTP/1.1",
    "a question mark that is encoded": f"GET /a%3Fpassword={SECRET} HTTP/1.1",
    "parameters without a question mark": f"GET /a&password={SECRET} HTTP/1.1",
    "parameters that are encoded": f"GET /a%26password%3D{SECRET} HTTP/1.1",
    "a parameter alone": f"GET /password={SECRET} HTTP/1.1",
    "parameters within the path": f"GET /a;password={SECRET}/b HTTP/1.1",
    "parameters after a comma": f"GET /a,password={SECRET} HTTP/1.1",
    "a question mark that is encoded twice": f"GET /me%253Fpassword={SECRET} HTTP/1.1",
    "a question mark that is encoded twice before short parts": f"GET /me%253Fkey.{SECRET} HTTP/1.1",
    "a question mark that is encoded in part": f"GET /me%%33Fpassword%%33D{SECRET} HTTP/1.1",
    "parameters that are encoded twice": f"GET /me%2526password%253d{SECRET} HTTP/1.1",
    "parameters that are encoded three times": f"GET /me%25253Bpassword%25253D{SECRET} HTTP/1.1",
    "parameters that JavaScript encodes": f"GET /me%u003Fpassword%u003D{SECRET} HTTP/1.1",
    "a user and a password before the host": f"GET http://alice:{SECRET}@localhost/a HTTP/1.1",
}
HEADERS = (
    f"Referer: http://localhost/login?password={SECRET}\r\nCookie: session={ID}.{ID}\r\n"
    f"Authorization: Bearer {SECRET}\r\n"
    'User-Agent: "\\\xff\xfe' + "x" * 5000 + "\r\nConnection: close\r\n\r\n"
)
BROKEN = {
    "a header without a colon": f"Cookie session={ID}.{ID}",
    "a folded header": f"X-Folded: a\r\n session={ID}.{ID}",
    "a header with a NUL": f"Cookie: session={ID}.{ID}\0",
    "a name with a space": f"Coo kie: session={ID}.{ID}",
    "a colour in a header": f"X-Odd: \x1b[31m {SECRET}",
    "an expectation": f"Expect: {SECRET}",
    "two lengths": f"Content-Length: 1\r\nContent-Length: 2\r\nX-Secret: {SECRET}",
    "an unknown encoding": f"Transfer-Encoding: {SECRET}",
    "a wrong chunk": f"Transfer-Encoding: chunked\r\n\r\n{SECRET}",
    "a long header": f"X-Long: {SECRET * 3000}",
}


def hostile_requests() -> list[bytes]:
    lines = [f"{line}\r\nHost: localhost\r\n{HEADERS}" for line in HOSTILE.values()]
    broken = [
        f"POST /login?password={SECRET} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n{HEADERS}" for line in BROKEN.values()
    ]
    return [request.encode("latin-1") for request in (*lines, *broken)]


def assert_no_secret(text: str) -> None:
    assert SECRET not in text
    assert ID[1:] not in text
    assert "%".join(f"{ord(each):02X}" for each in ID[-12:]) not in text
