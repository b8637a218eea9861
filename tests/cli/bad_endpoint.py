#!/usr/bin/env python3
"""An OpenAI-compatible server for tests that misbehaves on purpose.

bad_endpoint.py LOG [MODE...]: listens on a free port of the loopback address, prints the port, and serves until it is
killed. Every request is one line of LOG: arrival time, connection number, status, mode, authorised or not. The modes
are gone through request by request and the last one stays; a mode may be N*mode.

  ok            n candidates          one        one candidate whatever n is
  slow          ok after 0.3 s        mute       accepts and says nothing
  429           with Retry-After: 1   429-date   with the date one to two seconds ahead
  429-plain     without               500, 503, 401, 404, 400, long   (long: 400, context length exceeded)
  cut           closes the connection within the body       drop       closes it without an answer
  html          200 and no JSON       empty      200 and no choices      huge   200 and 32 MiB
  redirect      302 to itself         null       a choice whose content is null
  echo          200 and the key in what is nearly JSON
"""
import email.utils
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = open(sys.argv[1], "w", buffering=1)
modes = []
for arg in sys.argv[2:] or ["ok"]:
    count, star, mode = arg.rpartition("*")
    modes += [mode] * (int(count) if star else 1)
lock = threading.Lock()
served = 0
connections = 0
running = 0
KEY = "sk-test-5ecret"


def text_of(body, i):
    """One paragraph that depends on the prompt, the seed and the candidate alone, and passes the scorer."""
    prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    digest = hashlib.sha256(f"{prompt}|{body.get('seed')}|{i}".encode()).hexdigest()
    return (f"The user's history shows a steady taste, case {digest[:8]}. The target item belongs to what is related to it. "
            "The profile and the item share a good deal, which speaks for a match. "
            f"It also adds some variety, number {int(digest[8:12], 16)}. So the decision follows from what is given.")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        global connections
        super().setup()
        with lock:
            connections += 1
            self.number = connections

    def log_message(self, *args):
        pass

    def send(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, message, headers=()):
        self.send(status, {"error": {"message": message, "type": "test"}}, headers)

    def answer(self, body, n, content=True):
        choices = []
        for i in range(n):
            text = text_of(body, i) if content else None
            part = {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
            choices.append({"index": i, "finish_reason": "stop", **part})
        choices.reverse()
        self.send(200, {"choices": choices, "usage": {"prompt_tokens": 50, "completion_tokens": 60 * n}})

    def do_POST(self):
        global served, running
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            mode = modes[min(served, len(modes) - 1)]
            served += 1
            running += 1
            key = self.headers.get("Authorization", "")
            known = "key" if key == f"Bearer {KEY}" else "no-key" if not key else "wrong-key"
            log.write(f"{time.time():.3f} {self.number} {running} {mode} {known} {self.path} n={body['n']} "
                      f"model={body['model']} top_k={body.get('top_k')} seed={body['seed']}\n")
        try:
            self.behave(mode, body)
        finally:
            with lock:
                running -= 1

    def behave(self, mode, body):
        if mode == "ok":
            self.answer(body, body["n"])
        elif mode == "one":
            self.answer(body, 1)
        elif mode == "null":
            self.answer(body, body["n"], False)
        elif mode == "slow":
            time.sleep(0.3)
            self.answer(body, body["n"])
        elif mode == "mute":
            time.sleep(30)
        elif mode == "429":
            self.fail(429, "slow down", [("Retry-After", "1")])
        elif mode == "429-date":
            self.fail(429, "slow down", [("Retry-After", email.utils.formatdate(time.time() + 2, usegmt=True))])
        elif mode == "429-plain":
            self.fail(429, "slow down")
        elif mode == "429-long":
            self.fail(429, "come back tomorrow", [("Retry-After", "86400")])
        elif mode == "long":
            self.fail(400, "This model's maximum context length is 4096 tokens")
        elif mode == "400":
            self.fail(400, "no such parameter: seed\n\tor so")
        elif mode == "401":
            self.fail(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
        elif mode in ("404", "500", "503"):
            self.fail(int(mode), "trouble " + mode)
        elif mode == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.wfile.flush()
            self.close_connection = True
        elif mode == "drop":
            self.close_connection = True
        elif mode == "html":
            self.send(200, b"<html>It works!</html>")
        elif mode == "echo":
            self.send(200, f'{{"choices" "{KEY}"}}'.encode())
        elif mode == "empty":
            self.send(200, {"choices": []})
        elif mode == "huge":
            self.send(200, b'{"choices": "' + b"x" * (32 << 20) + b'"}')
        elif mode == "redirect":
            self.send(302, b"", [("Location", self.path)])
        else:
            sys.exit(f"no mode {mode}")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is what is tested


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
