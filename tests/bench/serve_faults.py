"""serve_faults.py BIN_DIR WORK URL PID SECONDS GROWTH: the faults of serve_faults.sh, all at once, each in a thread of its own. Fails
when an answer is wrong, when a client that drips is not cut off, or when memory grows."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

bin_dir, work, url, pid, seconds, growth = sys.argv[1:]
address = urllib.parse.urlparse(url)
pid, seconds, growth = int(pid), float(seconds), float(growth)
wrong, counts = [], {}
guard = threading.Lock()


def count(name, n=1):
    with guard:
        counts[name] = counts.get(name, 0) + n


def fail(text):
    with guard:
        wrong.append(text)


def connect():
    s = socket.create_connection((address.hostname, address.port), timeout=30)
    return s


def running():
    return time.monotonic() < end and not wrong


# ---- what is right: both generations hold the same world ----
bodies = [
    {"user_id": "u%d" % u, "candidates": ["i%d" % (u * 7 % 290 + i) for i in range(20)], "arm": arm}
    for u in range(1, 20)
    for arm in ("din", "din-ict")
]
with open(os.path.join(work, "verify.jsonl"), "w", encoding="utf-8") as file:
    file.writelines(json.dumps(body) + "\n" for body in bodies)
answers = subprocess.run(
    [bin_dir + "/llmcf", "rank", "--snapshot", work + "/snapshots/a", "--lines", "--request", work + "/verify.jsonl"],
    check=True,
    capture_output=True,
    text=True,
).stdout.splitlines()
expected = [json.loads(line)["results"] for line in answers]
end = time.monotonic() + seconds


def verify(seed):
    draw = random.Random(seed)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    while running():
        which = draw.randrange(len(bodies))
        connection.request("POST", "/v1/rank", body=json.dumps(bodies[which]))
        response = connection.getresponse()
        data = response.read()
        if response.status != 200 or json.loads(data)["results"] != expected[which]:
            fail(f"a wrong answer: {response.status} {data[:300]}")
        count("verified")
        time.sleep(0.02)


# ---- reloads ----
def move_to(generation):
    link = work + "/snapshots/next"
    os.symlink(generation, link)
    os.replace(link, work + "/snapshots/current")
    count("moves")


def reloads():
    generation = "b"
    while running():
        time.sleep(min(2.0, seconds / 5))
        move_to(generation)
        generation = "a" if generation == "b" else "b"


# ---- clients that are no clients ----
SEEDS = [
    b"POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n{\"user_id\":\"u1\",\"candidates\":[\"i1\"]}  ",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/rank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-llmcf\r\nContent-Length: 32\r\n\r\n" + b"LCFQ\1" + 27 * b"\0",
    b"POST /v2/models/din/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"inputs\":[1]}",
]


def garbage(seed):
    draw = random.Random(seed)
    while running():
        data = bytearray(draw.choice(SEEDS))
        for _ in range(draw.randrange(8)):
            at = draw.randrange(len(data))
            if draw.random() < 0.5:
                data[at] = draw.randrange(256)
            else:
                data[at : at + 1] = draw.randbytes(draw.randrange(5))
        if draw.random() < 0.1:
            data = bytearray(draw.randbytes(draw.randrange(1, 20000)))
        try:
            s = connect()
            s.settimeout(0.2)
            s.sendall(data)
            if draw.random() < 0.5:
                s.recv(4096)
            if draw.random() < 0.3:  # a reset in the middle
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        except OSError:
            pass
        count("garbage")
        time.sleep(0.01)


def loris(seed):
    """A request that comes a byte at a time is cut off at --request-timeout, not later."""
    while running():
        begun = time.monotonic()
        s = connect()
        head = b"POST /v1/rank HTTP/1.1\r\nX: "
        try:
            s.sendall(head)
            s.settimeout(0.1)
            while time.monotonic() - begun < 25:
                s.sendall(b"x")
                try:
                    if not s.recv(1):
                        break
                except socket.timeout:
                    pass
            else:
                fail("a client that drips was served for 25 s")
        except OSError:
            pass
        s.close()
        count("dripped")


def idle(seed):
    """Holds connections that say nothing."""
    held = [connect() for _ in range(20)]
    while running():
        time.sleep(0.1)
    for s in held:
        s.close()
    count("idle", len(held))


def stops():
    """Nobody looks at the clock while a process is stopped: half a second is within every limit."""
    while running():
        time.sleep(min(7.0, seconds / 4))
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(pid, signal.SIGCONT)
        count("stopped")


# ---- memory ----
def resident():
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def memory():
    """The smallest of the first and of the last fifth, warm-up left out."""
    samples = []
    while running():
        samples.append((time.monotonic(), resident()))
        time.sleep(0.05)
    begun = samples[0][0]
    early = [b for t, b in samples if 0.2 <= (t - begun) / seconds < 0.5]
    late = [b for t, b in samples if (t - begun) / seconds >= 0.7]
    if not early or not late:
        return
    grown = min(late) / min(early) - 1
    counts["memory_mb"] = round(min(late) / 1e6, 1)
    counts["memory_growth"] = round(grown, 4)
    if grown > growth:
        fail(f"memory grew by {grown:.1%}: {min(early)} to {min(late)} bytes")


threads = [threading.Thread(target=target, args=args) for target, args in
           [(verify, (1,)), (verify, (2,)), (reloads, ()), (garbage, (3,)), (garbage, (4,)), (idle, (5,)), (stops, ()), (memory, ())]
           + [(loris, (i,)) for i in range(5)]]
for thread in threads:
    thread.daemon = True
    thread.start()
for thread in threads:
    thread.join(seconds + 90)
    if thread.is_alive():
        fail(f"{thread.name} hangs")
os.kill(pid, signal.SIGCONT)


def read_metrics():
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}


value = read_metrics()
move_to("b")  # a machine that is busy may not have come to it yet: the first generation was a
for _ in range(600):
    if value["llmcf_reloads_total"]:
        break
    time.sleep(0.1)
    value = read_metrics()
counts["reloads"] = int(value["llmcf_reloads_total"])
counts["cut_off"] = int(value["llmcf_deadline_closed_total"])
codes = {name: n for name, n in value.items() if name.startswith("llmcf_http_requests_total") and n}
if counts["reloads"] < 1 or counts["cut_off"] < 1 or any('"5' in name for name in codes):
    fail(f"after all: {counts} {codes}")
for name in sorted(counts):
    print(f"serve_faults.{name},{counts[name]},")
for line in wrong[:5]:
    print(line, file=sys.stderr)
sys.exit(bool(wrong))
