import http.server
import os
import sqlite3


class Items(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        rows = sqlite3.connect(os.environ["DB"]).execute("select name from items order by name")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(", ".join(name for (name,) in rows).encode())


http.server.HTTPServer(("127.0.0.1", int(os.environ["LISTEN_PORT"])), Items).serve_forever()
