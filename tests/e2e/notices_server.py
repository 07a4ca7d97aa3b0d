"""The mail and the SMS API of notices.sh: takes a request only after it has failed some times, each time in another way, and refuses
some for ever. Writes a line of JSON for each request that it has judged, and its ports when it serves."""
import http.server
import json
import random
import socketserver
import sys
import threading

out, seed = open(sys.argv[1], "a", encoding="utf-8"), int(sys.argv[2])
lock = threading.Lock()
tries = {}


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key, api = self.headers["Idempotency-Key"], self.server.api
        with lock:
            n = tries[api, key] = tries.get((api, key), 0) + 1
        verdict = self.judge(api, key, json.loads(body), n)
        with lock:
            line = {"api": api, "key": key, "try": n, "verdict": verdict, "body": json.loads(body), "path": self.path}
            line |= {"token": self.headers["Authorization"], "type": self.headers["Content-Type"]}
            out.write(json.dumps(line) + "\n")
            out.flush()
        if verdict == "lost":
            # Taken, and the answer never comes.
            self.close_connection = True
            return
        answer = json.dumps({"said": verdict}).encode()
        self.send_response(verdict)
        if verdict == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def judge(self, api, key, body, n):
        address = body["to"]["email"] if api == "mail" else body["to"]
        if "nobody" in address:
            return 422
        # How often it fails, and how, is the key's own.
        rng = random.Random(f"{seed} {api} {key}")
        fails = [rng.choice([500, 503, 503, "lost"]) for _ in range(rng.choice([0, 0, 0, 0, 0, 0, 0, 1, 2]))]
        if rng.random() < 0.01:
            fails.append(429)
        return fails[n - 1] if n <= len(fails) else 200


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64


ports = []
for api in ("mail", "sms"):
    server = Server(("127.0.0.1", int(sys.argv[3 + len(ports)]) if len(sys.argv) > 3 else 0), Api)
    server.api = api
    ports.append(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", *ports, flush=True)
sys.stdin.read()
