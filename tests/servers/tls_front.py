"""TLS and a login in front of an HTTP server that has neither.

    python3 tls_front.py --certificate PEM --user NAME --password PASSWORD --to PORT

It listens on the loopback, prints `READY PORT`, and passes on what has the login to the server at `--to`; all else is
answered with 401. The key is in the same file as the certificate.
"""

import argparse
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


def main():
    parser = argparse.ArgumentParser()
    for name in ("certificate", "user", "password"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--to", type=int, required=True)
    wanted = parser.parse_args()
    server = Server(("127.0.0.1", 0), Front)
    server.to = wanted.to
    server.login = b"Basic " + base64.b64encode(f"{wanted.user}:{wanted.password}".encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(wanted.certificate)
    # Each connection shakes hands on its own thread: a client that says nothing holds up no other.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"READY {server.server_port}", flush=True)
    server.serve_forever()


main()
