"""`envicutor up` on a host with pure cgroup v2: in the test machine (tests/node/run), in a control group that has other
processes, as a login session's has."""

import subprocess

from harness import BIN, ROOT

BESIDE = r"""
set -e
pods() {
  KUBECONFIG=/var/tmp/$1/kubeconfig kubectl get pods -n envicutor-executors -o jsonpath='{range .items[*]}{.metadata.uid} {.status.podIP} {.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount}{end}'
}
own=/sys/fs/cgroup/machine
echo "own: $(cat /proc/self/cgroup)"
/run/bin/envicutor node --kubeconfig /nonexistent --data-dir /var/tmp/3 --node-mode host >&2 || echo "refused: $?"
echo "left of it: $(find /sys/fs/cgroup -name 'envicutor*') $(cat /proc/self/cgroup)"
for n in 1 2; do
  /run/bin/envicutor up --data-dir /var/tmp/$n --node host --port 0 --slots 1 --detach >&2
  echo "pods $n: $(pods $n)"
done
for group in /sys/fs/cgroup/machine/envicutor-pods-*/*-*-*-*-*; do
  echo "limit: $(cat $group/memory.max)"
done
/run/bin/envicutor down --data-dir /var/tmp/1 >&2
echo "pods beside: $(pods 2)"
/run/bin/envicutor up --data-dir /var/tmp/1 --node host --port 0 --slots 1 --detach >&2
echo "pods again: $(pods 1)"
mkdir $own/other
echo 50M > $own/other/memory.max
for n in 1 2; do /run/bin/envicutor down --data-dir /var/tmp/$n >&2; done
echo "somebody's limit: $(cat $own/other/memory.max)"
rmdir $own/other
/run/bin/envicutor up --data-dir /var/tmp/1 --node host --port 0 --slots 1 --detach >&2
/run/bin/envicutor down --data-dir /var/tmp/1 >&2
echo "left: $(find /sys/fs/cgroup -name 'envicutor*')"
echo "own after: $(cat /proc/self/cgroup)"
"""


def test_two_on_a_cgroup_v2_host_have_groups_of_their_own_and_leave_none():
    done = subprocess.run([ROOT / "tests/node/run", "--mem", "1536M", "--timeout", "200", "--bind", f"{BIN}:/run/bin", "--",
                           "sh", "-c", BESIDE], capture_output=True, text=True, timeout=260)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(": ", 1) for line in done.stdout.splitlines()]
    said = {key: value for key, value in lines if key != "limit"}
    first, second, again = (said[f"pods {n}"].split() for n in (1, 2, "again"))
    # uid, address, ready, restarts
    assert first[2:] == second[2:] == ["true", "0"], said
    assert first[1] != second[1], said
    assert said["pods beside"].split() == second, "the other one's end left it alone"
    assert again[0] == first[0] and again[2] == "true", said
    limits = [value for key, value in lines if key == "limit"]
    assert len(limits) == 2 and all(limit.isdigit() for limit in limits), limits
    assert said["refused"] == "1", said
    assert said["left of it"] == " " + said["own"], "a node that cannot start moves nobody for good"
    assert said["somebody's limit"] == str(50 << 20), said
    assert said["left"] == "", said
    assert said["own after"] == said["own"], "who was moved is back"
