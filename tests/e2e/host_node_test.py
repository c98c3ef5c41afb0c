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


# Nodes alone, whose API server never comes: they have their groups and wait. "here" says where the shell is, what its
# group hands down, and what is in that.
ALONE = r"""
set -e
shopt -s nullglob
own=/sys/fs/cgroup/machine
cat > /var/tmp/kubeconfig <<END
{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: u, user: {}}]}
END
node() { exec /run/bin/envicutor node --kubeconfig /var/tmp/kubeconfig --data-dir /var/tmp/$1 --node-mode host; }
await() { until eval "$1"; do sleep 0.1; done; }
start() { rm -f /var/tmp/$1.log; (node $1) 2>/var/tmp/$1.log & eval node_$1=$!; }
started() { await "grep -qs 'cannot register' /var/tmp/$1.log"; }
up() { start $1; started $1; }
down() { eval kill \$node_$1; eval wait \$node_$1; }
end() { kill -${2:-TERM} $1; wait $1 || true; }
here() { echo "$1: $(cat /proc/self/cgroup | cut -c4-) [$(cat $own/cgroup.subtree_control)]$(cd $own; for d in */; do d=${d%/}; echo -n " ${d/pods-*/pods}"; done)"; }

here "at first"
up 1; here "with a node"; down 1; here "after it"

mkdir $own/other
up 1; down 1; here "beside a group without limits"
up 1; echo 30 > $own/other/pids.max; down 1; here "beside a limit"
echo max > $own/other/pids.max
up 1; echo +pids > $own/other/cgroup.subtree_control; down 1; here "beside one that hands down"
echo -pids > $own/other/cgroup.subtree_control; rmdir $own/other
up 1; echo +io > $own/cgroup.subtree_control; down 1; here "with another controller"
echo -io > $own/cgroup.subtree_control; up 1; down 1; here "without it"

rm /var/tmp/1.log
unshare --pid --fork --kill-child --mount-proc /run/bin/envicutor node --kubeconfig /var/tmp/kubeconfig \
  --data-dir /var/tmp/1 --node-mode host 2>/var/tmp/1.log & other=$!
started 1
here "from another PID namespace"
echo "why: $(grep -o 'a process of another PID namespace is in [^"]*' /var/tmp/1.log)"
end $other KILL

for n in 1 2 3 4; do start $n; done
for n in 1 2 3 4; do started $n; done
here "four at once"
for n in 1 2 3 4; do eval kill \$node_$n; done
for n in 1 2 3 4; do eval wait \$node_$n; done
here "after four"

setpriv --reuid 65534 --clear-groups flock --no-fork $own sleep 1000 & other=$!
await "! flock -n $own true"
up 1; here "while anybody holds the folder"; down 1; here "and after"
end $other

hold() { (exec 9>$own/cgroup.kill; flock 9; echo > /var/tmp/held; exec sleep 1000) & other=$!; await "test -e /var/tmp/held"; rm /var/tmp/held; }
hold; up 1; here "while root holds the lock"; echo "which: $(grep -o 'another process holds the lock[^:]*' /var/tmp/1.log)"; down 1
end $other
up 1; hold; down 1; here "left while root holds the lock"; echo "said: $(grep -o '[^"]* stays there' /var/tmp/1.log)"
end $other
up 1; down 1; here "at last"
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


def test_who_was_moved_comes_back_unless_somebody_depends_on_it():
    done = subprocess.run([ROOT / "tests/node/run", "--mem", "512M", "--timeout", "120", "--bind", f"{BIN}:/run/bin", "--",
                           "bash", "-c", ALONE], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    free, moved = "/machine []", "/machine/envicutor-node [cpu memory pids] envicutor-node"
    assert said == {
        "at first": free,
        "with a node": moved + " envicutor-pods",
        "after it": free,
        "beside a group without limits": free + " other",
        "beside a limit": moved + " other",
        "beside one that hands down": moved + " other",
        "with another controller": moved.replace("cpu", "cpu io"),
        "without it": free,
        "from another PID namespace": free,
        "why": "a process of another PID namespace is in /sys/fs/cgroup/machine",
        "four at once": moved + 4 * " envicutor-pods",
        "after four": free,
        "while anybody holds the folder": moved + " envicutor-pods",
        "and after": free,
        "while root holds the lock": free,
        "which": "another process holds the lock of the control group /sys/fs/cgroup/machine for 5 s",
        "left while root holds the lock": moved,
        "said": "who was moved to a leaf of this control group stays there",
        "at last": free,
    }
