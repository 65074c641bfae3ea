"""TLS in front of a server that has none; for one that speaks HTTP, a login as well.

    python3 tls_front.py --certificate PEM --to PORT [--user NAME --password PASSWORD]

It listens on the loopback, prints `READY PORT`, and passes on what it is sent to the server at `--to`: byte by byte, or
with a login those requests that have it, while all others are answered with 401. The key is in the same file as the
certificate.
"""

import argparse
import asyncio
import base64
import hmac
import http.client
import http.server
import ssl


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.login):
            return self.answer(401, "text/plain", b"who are you?", [("WWW-Authenticate", "Basic")])
        headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
        behind = http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=30)
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        self.answer(answer.status, answer.getheader("Content-Type", "application/json"), answer.read())
        behind.close()

    do_GET = do_POST = do_PUT = do_DELETE = pass_on

    def answer(self, status, kind, body, headers=()):
        self.send_response(status)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Clients that do not trust us, or speak no TLS, hang up; that is what they are here for."""


def serve_with_login(context, to, user, password):
    server = Server(("127.0.0.1", 0), Front)
    server.to = to
    server.login = b"Basic " + base64.b64encode(f"{user}:{password}".encode())
    # Each connection shakes hands on its own thread: a client that says nothing holds up no other.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"READY {server.server_port}", flush=True)
    server.serve_forever()


async def copy(source, sink):
    try:
        while some := await source.read(1 << 16):
            sink.write(some)
            await sink.drain()
    except OSError:
        pass  # One end has hung up.
    finally:
        sink.close()


async def serve_bytes(context, to):
    async def pass_on(reader, writer):
        from_behind, to_behind = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(copy(reader, to_behind), copy(from_behind, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    print(f"READY {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--user")
    parser.add_argument("--password")
    wanted = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(wanted.certificate)
    if wanted.user is None:
        asyncio.run(serve_bytes(context, wanted.to))
    else:
        serve_with_login(context, wanted.to, wanted.user, wanted.password)


main()
