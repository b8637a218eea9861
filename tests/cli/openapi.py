"""openapi.py DOCUMENT URL UNIX_SOCKET TOKENS PID BINARY_REQUEST: asks the running server for every path, method and code of the
document, validates every body, and stops it. Fails on a code that the document does not name, on one that it names and the server
does not give, and on a route that only one of them has."""

import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
import urllib.parse

from jsonschema import Draft202012Validator, RefResolver

document_path, url, unix_path, tokens, pid, binary_path = sys.argv[1:]
with open(document_path, encoding="utf-8") as file:
    document = json.load(file)
with open(tokens, encoding="utf-8") as file:
    auth = {"Authorization": "Bearer " + file.read().strip()}
with open(binary_path, "rb") as file:
    binary_request = file.read()
resolver = RefResolver("file://" + os.path.abspath(document_path), document)
Draft202012Validator.check_schema({"$defs": document["components"]["schemas"]})
address = urllib.parse.urlparse(url)
missing = {
    (path, method, code)
    for path, methods in document["paths"].items()
    for method, operation in methods.items()
    for code in operation["responses"]
}
wrong = []


class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(unix_path)


def connect(unix=False):
    return UnixConnection("x", timeout=60) if unix else http.client.HTTPConnection(address.hostname, address.port, timeout=60)


def check(path, method, status, headers, body):
    """One answer against what the document says of it."""
    code = str(status)
    response = document["paths"][path][method]["responses"].get(code)
    if response is None:
        wrong.append(f"{method} {path}: {code} is not in the document: {body[:200]}")
        return
    missing.discard((path, method, code))
    if "Retry-After" in response.get("headers", {}) and not headers.get("Retry-After", "").isdigit():
        wrong.append(f"{method} {path} {code}: no Retry-After")
    media = headers.get("Content-Type")
    if media not in response["content"]:
        wrong.append(f"{method} {path} {code}: of the type {media}")
    elif media == "application/json":
        for error in Draft202012Validator(response["content"][media]["schema"], resolver=resolver).iter_errors(json.loads(body)):
            wrong.append(f"{method} {path} {code}: {'/'.join(map(str, error.path))}: {error.message[:200]}")


def ask(path, method, body=None, headers=None, unix=False, connection=None, authorized=True, parameters=None):
    real = path
    for name, value in (parameters or {}).items():
        real = real.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
    connection = connection or connect(unix)
    body = json.dumps(body) if isinstance(body, dict) else body
    connection.request(method.upper(), real, body=body, headers={**(auth if authorized else {}), **(headers or {})})
    response = connection.getresponse()
    data = response.read()
    check(path, method, response.status, response.headers, data)
    return response.status


rank = {"user_id": "u2", "candidates": ["i1", "i2", "nothing"]}
infer = {
    "id": "7",
    "inputs": [
        {"name": "user", "datatype": "BYTES", "shape": [1], "data": ["u2"]},
        {"name": "candidates", "datatype": "BYTES", "shape": [1, 2], "data": [["i1", "i2"]]},
    ],
}
bodies = {
    "/v1/rank": rank,
    "/v1/explain": {**rank, "arm": "din-ict"},
    "/v2/models/{model}/infer": infer,
    "/v2/models/{model}/versions/{version}/infer": infer,
}
schema = document["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]["content"]["application/json"]["schema"]
Draft202012Validator(schema, resolver=resolver).validate(infer)
parameters = {"model": "din-ict", "version": "one", "text": "i"}

# what everybody gets, with a token and without
for path, methods in document["paths"].items():
    for method, operation in methods.items():
        admin = path.startswith("/v1/admin")
        body = bodies.get(path, {"generation": "one"} if admin else None)
        ask(path, method, body, unix=admin, parameters=parameters)
        open_ = operation.get("security") == []
        status = ask(path, method, body, unix=admin, parameters=parameters, authorized=False)
        if open_ != (status != 401):
            wrong.append(f"{method} {path}: {status} without a token")

# what goes wrong
for path in bodies:
    ask(path, "post", "{", parameters=parameters)
    ask(path, "post", " " * 60001, parameters=parameters)
ask("/v1/rank", "post", binary_request[:40], headers={"Content-Type": "application/x-llmcf"})
ask("/v1/rank", "post", {**rank, "arm": "none"})
ask("/v1/rank", "post", rank, headers={"X-Request-Timeout-Ms": "soon"})
for path in ("/v2/models/{model}", "/v2/models/{model}/ready"):
    ask(path, "get", parameters={"model": "none"})
ask("/v2/models/{model}/infer", "post", infer, parameters={"model": "none"})
ask("/v2/models/{model}/versions/{version}/infer", "post", infer, parameters={"model": "din-ict", "version": "two"})
for path in ("/v2/models/{model}/versions/{version}", "/v2/models/{model}/versions/{version}/ready"):
    ask(path, "get", parameters={"model": "din-ict", "version": "two"})
    ask(path, "get", parameters={"model": "none", "version": "one"})
for path in ("/v1/admin/reload", "/v1/admin/snapshot"):
    ask(path, "post", {"generation": "one"})
ask("/v1/admin/snapshot", "post", {"generation": "none"}, unix=True)
ask("/v1/admin/snapshot", "post", {"generation": "../one"}, unix=True)
ask("/v1/rank", "post", binary_request, headers={"Content-Type": "application/x-llmcf", "Accept": "application/x-llmcf"})

# a path that is not there names those that are
connection = connect()
connection.request("GET", "/nowhere", headers=auth)
routes = re.findall(r"(GET|POST) (/[^ ,\"]*)", json.loads(connection.getresponse().read())["error"]["reason"])
described = {(m.upper(), re.sub(r"\{[^}]*\}", "*", path)) for path, methods in document["paths"].items() for m in methods}
wrong += [f"{' '.join(route)} is not in both" for route in sorted(described ^ set(routes))]

# a worker that is busy, and no queue
busy = True


def keep_busy():
    connection = connect()
    body = json.dumps({"user_id": "u2", "candidates": ["i%d" % (i % 15 + 1) for i in range(2000)], "top": 1})
    while busy:
        connection.request("POST", "/v1/explain", body=body, headers=auth)
        connection.getresponse().read()


threads = [threading.Thread(target=keep_busy) for _ in range(3)]
for thread in threads:
    thread.start()
for path, method in [(p, m) for p, m, code in sorted(missing) if code == "429"]:
    tries = 0
    while (path, method, "429") in missing and tries < 2000:
        ask(path, method, bodies.get(path), parameters=parameters)
        tries += 1
busy = False
for thread in threads:
    thread.join()

# while it stops
stopping = [(p, m) for p, m, code in sorted(missing) if code == "503"]
connections = [connect() for _ in stopping]
for connection in connections:
    ask("/healthz", "get", connection=connection)
os.kill(int(pid), signal.SIGTERM)
while True:  # until it has heard
    try:
        probe = connect()
        probe.connect()
        probe.close()
    except ConnectionRefusedError:
        break
for (path, method), connection in zip(stopping, connections):
    ask(path, method, connection=connection, parameters=parameters)

wrong += [f"{method} {path}: {code} never came" for path, method, code in sorted(missing)]
for line in wrong:
    print(line, file=sys.stderr)
sys.exit(bool(wrong))
