"""service_manager.py PROGRAM OPTION...: plays systemd. Hands over a listening socket whose first client connects before the
server starts, and reads what the server says: READY, WATCHDOG, RELOADING and READY again, STOPPING; then the socket still listens
for the next server."""

import http.client
import os
import signal
import socket
import subprocess
import sys

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(16)
port = listener.getsockname()[1]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("\0llmcf-test-%d" % os.getpid())
notify.settimeout(60)


def start():
    env = dict(os.environ, LISTEN_FDS="1", NOTIFY_SOCKET="@llmcf-test-%d" % os.getpid(), WATCHDOG_USEC="400000")

    def hand_over():
        os.dup2(listener.fileno(), 3)

    # LISTEN_PID is the child's, which only the child knows
    command = ["sh", "-c", 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"', "sh"] + sys.argv[1:]
    return subprocess.Popen(command, env=env, preexec_fn=hand_over, pass_fds=(3,))


def until(word):
    while True:
        said = notify.recv(4096).decode()
        if word in said.split("\n"):
            return said


def ask(connection):
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    response.read()
    assert response.status == 200, response.status


early = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
early.connect()  # before there is a server
server = start()
try:
    until("READY=1")
    ask(early)
    until("WATCHDOG=1")
    until("WATCHDOG=1")
    server.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in until("RELOADING=1")
    until("READY=1")
    ask(early)
    server.send_signal(signal.SIGTERM)
    until("STOPPING=1")
    assert server.wait(60) == 0, server.returncode
    between = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    between.connect()  # while there is none
    server = start()
    until("READY=1")
    ask(between)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0, server.returncode
finally:
    server.kill()
