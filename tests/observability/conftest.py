"""A running Envicutor under some load, with Debian's Prometheus scraping it.

Run as root where port 9099 is free."""

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import harness  # noqa: E402
from waiting import until  # noqa: E402

ALERTS = harness.ROOT / "helm/envicutor/alerts/envicutor.yaml"
DASHBOARD = harness.ROOT / "helm/envicutor/dashboards/envicutor.json"
PROMETHEUS = "127.0.0.1:9099"
# A compile stage without a compiler: what is under test are the metrics of it.
COMPILED = {
    "apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": "compiled"},
    "spec": {"environment": {"packages": ["bash", "coreutils", "findutils", "gnugrep", "gnused"]},
             "sourceFile": "main.sh", "compile": {"script": "bash -n main.sh && cp main.sh program.sh"},
             "run": {"script": 'exec bash program.sh "$@"'},
             "selfTests": [{"name": "hello", "source": "echo hello", "expect": {"stdout": "hello\n"}}]},
}


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


class Samples(dict):
    """{(name, labels): value} of a text exposition."""

    @classmethod
    def parse(cls, text):
        samples = cls()
        for line in text.splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                samples[series] = float(value)
        return samples

    def names(self):
        return {series.split("{")[0] for series in self}

    def total(self, name, *labels):
        found = [v for s, v in self.items() if s.split("{")[0] == name and all(label in s for label in labels)]
        return sum(found) if found else None


class Watched(harness.Cluster):
    """The system, its endpoints and its Prometheus."""

    def endpoints(self):
        status = self.pids()
        agents = [f"{pod['ip']}:9464" for pod in status["cluster"]["executors"] if pod["ip"]]
        return status["metricsAddress"], agents

    def scrape(self):
        operator, agents = self.endpoints()
        return (Samples.parse(get(f"http://{operator}/metrics")),
                [Samples.parse(get(f"http://{agent}/metrics")) for agent in agents])

    def start_prometheus(self):
        operator, agents = self.endpoints()
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
                  "rule_files": [str(ALERTS)],
                  "scrape_configs": [
                      {"job_name": "operator", "static_configs": [{"targets": [operator]}]},
                      {"job_name": "executors", "static_configs": [{"targets": agents}]}]}
        path = self.data / "prometheus.json"  # JSON is YAML
        path.write_text(json.dumps(config))
        log = open(self.data / "prometheus.log", "w")
        self.prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.data}/prometheus",
             f"--web.listen-address={PROMETHEUS}", "--log.level=warn"], stdout=log, stderr=log)
        log.close()

        def up():
            try:
                return len(self.query("up == 1")) == 1 + len(agents)
            except OSError:
                return False
        until(up, 30, f"Prometheus scrapes all targets; see {self.data}/prometheus.log")

    def query(self, expression):
        url = f"http://{PROMETHEUS}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        return json.loads(get(url))["data"]["result"]

    def stop(self):
        prometheus = getattr(self, "prometheus", None)
        if prometheus:
            prometheus.terminate()
            prometheus.wait(20)
        super().stop()

    def operator_log(self):
        return (self.data / "logs/operator.log").read_text(errors="replace")

    def agent_log(self):
        pods = self.list("pods", "envicutor-executors")
        return "".join(self.kubectl("logs", "-n", "envicutor-executors", p["metadata"]["name"]).stdout
                       for p in pods if p["metadata"]["name"].startswith("executor-"))


def mixed_load(cluster, rounds):
    """Every kind of end a few times over."""
    of = harness.of
    one = [of("bash", "echo hello"), of("bash", "exit 3"), of("bash", "kill -9 $$"),
           of("bash", "while :; do :; done", run={"limits": {"cpuTime": "300ms"}}),
           of("bash", "yes", run={"limits": {"maxStdout": "1Ki"}}),
           of("bash", "s=x; while :; do s=$s$s; done", run={"limits": {"memory": "16Mi"}}),
           of("compiled", "echo compiled"), of("compiled", "echo compiled"), of("compiled", "if"),
           of("bash", "cat", tests=[{"name": "same", "stdin": "1", "expectedStdout": "1"},
                                    {"name": "other", "stdin": "1", "expectedStdout": "2"}]),
           of("bash", "true", run={"limits": {"wallTime": "1h"}})]
    done = []
    for _ in range(rounds):
        done += cluster.run(*one, timeout=60)
    return done


@pytest.fixture(scope="session")
def watched():
    cluster = Watched()
    cluster.start()
    try:
        cluster.start_prometheus()
        cluster.before = cluster.scrape()
        cluster.kubectl("apply", "-f", harness.RUNTIMES / "bash.yaml")
        cluster.apply_runtime(COMPILED)
        cluster.wait_runtimes(["bash"])
        cluster.verdicts = [s["status"].get("verdict") or s["status"]["reason"]
                            for s in mixed_load(cluster, 4)]
        cluster.run_one({"environment": {"packages": ["bash", "coreutils"]},
                         "files": [{"path": "m.sh", "content": "true"}],
                         "run": {"script": "bash m.sh"}}, timeout=60)
        cluster.after = cluster.scrape()
        yield cluster
    finally:
        cluster.stop()


assert os.geteuid() == 0, "the tests run as root: envicutor up needs it"
