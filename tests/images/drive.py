"""In the test machine: what the operator does, in short. Waits for the agent, hands it a run, prints agent and result
as one line of JSON.     drive.py TLS-FOLDER"""

import http.client
import json
import ssl
import sys
import time

FOLDER = sys.argv[1]
UID = "5b1f0b57-7d3c-4f9a-9a52-0123456789ab"
LIMITS = {"cpuTime": 10_000, "extraTime": 0, "wallTime": 30_000, "memory": 64 << 20, "maxProcesses": 16,
          "maxOpenFiles": 64, "maxFileSize": 1 << 20, "maxDisk": 8 << 20, "stack": 8 << 20, "maxStdout": 65536,
          "maxStderr": 65536}


class Agent(http.client.HTTPSConnection):
    """Connects to loopback and expects the name of an executor's certificate."""

    def __init__(self):
        context = ssl.create_default_context(cafile=f"{FOLDER}/ca.crt")
        context.load_cert_chain(f"{FOLDER}/client.crt", f"{FOLDER}/client.key")
        super().__init__("executor.envicutor.internal", 8443, context=context, timeout=60)
        self._create_connection = lambda _, *args, **kwargs: http.client.socket.create_connection(
            ("127.0.0.1", 8443), *args, **kwargs)


def ask(method, target, body=None):
    agent = Agent()
    agent.request(method, target, json.dumps(body) if body is not None else None)
    answer = agent.getresponse()
    text = answer.read().decode()
    if answer.status >= 300:
        sys.exit(f"{method} {target}: {answer.status} {text}")
    return json.loads(text)


def wait():
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask("GET", "/v1/info")
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"the agent does not answer: {error}")
            time.sleep(0.2)  # until it listens


info = wait()
ask("PUT", f"/v1/runs/{UID}/1", {
    "uid": UID, "attempt": 1, "namespace": "default", "name": "hello", "runtime": "bash", "environmentHash": "0" * 32,
    "run": {"script": 'echo "hello from the image"',
            "args": [], "env": [], "limits": LIMITS, "mergeStderr": False},
    "stopOnFirstFailure": False, "outputFiles": [], "memoryBytes": 64 << 20, "deadlineUnixMillis": 0})
deadline = time.monotonic() + 60
results = []
while not results and time.monotonic() < deadline:
    results = ask("GET", "/v1/results?after=0&timeoutSeconds=20&limit=1")["results"]
print(json.dumps({"info": info, "result": results[0] if results else None}))
