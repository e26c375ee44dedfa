"""Laws of recipes/utils/slurm.sh, under a Slurm of one node that the tests start: no task is lost or counted twice."""

import getpass
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import ROOT, TINY, environment, heed_interruption, run, trained, training
from test_recipes import MANY, wait_until

# Four processors whatever there are, so that tasks overlap; what was requeued starts again after seconds, not minutes.
CLUSTER = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MinJobAge=5
KillWait=20
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A controller and a node, which end with the tests, also if these are killed."""
    if not shutil.which("slurmctld") or not shutil.which("slurmd"):
        pytest.skip("slurmctld and slurmd are not installed (Debian, Ubuntu: apt install slurm-wlm)")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    settings = CLUSTER.format(host=host, user=getpass.getuser(), ports=free_ports(2), folder=folder)
    (folder / "slurm.conf").write_text(settings)
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("SLURM_CONF", str(folder / "slurm.conf"))
        for daemon in ("slurmctld", "slurmd"):
            stack.callback(stop, start(daemon, folder))
        stack.callback(cancel_all)
        wait_until(lambda: "idle" in run("sinfo", "--noheader", "--format", "%T").stdout)
        yield folder


def start(daemon: str, folder: Path) -> subprocess.Popen:
    with (folder / f"{daemon}.err").open("w") as errors:
        line = ["setpriv", "--pdeathsig", "TERM", daemon, "-D"]
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=errors)


def cancel_all() -> None:
    run("scancel", "--user", getpass.getuser())
    wait_until(lambda: not queue(), 60)


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def begin(cluster):
    """A function that runs slurm.sh in the background; what is still there after the test is ended."""
    with ExitStack() as stack:

        def begin(*words: object) -> subprocess.Popen:
            line = ["slurm.sh", *map(str, words)]
            settings = {"text": True, "start_new_session": True, "preexec_fn": heed_interruption}
            process = subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, **settings)
            stack.enter_context(process)
            stack.callback(process.terminate)
            return process

        yield begin


def job_of(*logs: Path) -> str:
    """Slurm's number of the only job there is, once it has said `up` in each log."""
    wait_until(lambda: all(log.is_file() and "\nup\n" in log.read_text() for log in logs))
    (number,) = set(queue())
    return number


def queue() -> list[str]:
    return run("squeue", "--noheader", "--format", "%F").stdout.split()


# Without a cluster: what sbatch is asked

CONFIG = """\
# a comment
command false --export=ALL  # tells what it was asked
default gpu=0
option mem=* --mem-per-cpu=$0
option mem=0   # nothing
option gpu=0 -p cpu
option gpu=* -p gpu --gres=gpu:$0
"""


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--mem", "2G", "--gpu", "2"], ["--mem-per-cpu=2G", "-p gpu --gres=gpu:2", "--array 1-1"]),
        (["--mem", "0", "-q", "mine", "J=2:5"], ["--export=ALL -p cpu -q mine --parsable --array 2-5"]),
        (["--max-jobs-run", "3", "J=1:9"], ["--array 1-9%3", "--job-name x.J", "--output x.%a.log"]),
    ],
)
def test_a_configuration_says_what_options_mean(tmp_path, words, asked):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/slurm.conf").write_text(CONFIG)
    done = run("slurm.sh", *words, "x.J.log", "true", cwd=tmp_path)
    assert done.returncode == 1 and "slurm.sh: not submitted: false --export=ALL" in done.stderr
    assert all(each in done.stderr for each in asked), done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "none.conf"], "--config none.conf: no such file"),
        (["--config", "bad.conf"], "bad.conf: cannot read the line 'sbatch -p gpu'"),
        (["--config", "empty.conf"], "empty.conf has no line 'command sbatch ...'"),
        (["--nodes", "2"], "option --nodes 2 is not described in the default configuration"),
        (["--max-jobs-run", "many"], "--max-jobs-run needs a whole number"),
    ],
)
def test_bad_calls_are_refused_by_name(tmp_path, words, message):
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "bad.conf").write_text("command sbatch\nsbatch -p gpu\n")
    (folder / "empty.conf").write_text("option mem=* --mem $0\n")
    done = run("slurm.sh", *words, tmp_path / "logs/x.log", "true", cwd=folder)
    assert done.returncode == 1 and done.stderr.startswith("slurm.sh: ") and message in done.stderr
    assert not (tmp_path / "logs").exists()


# Words and logs


WORDS = ["two  words", 'it\'s "q" $HOME', "é*?~", "back\\slash", "a;b", "no.JOB", "", "|", "cat", ">>", "JOB.txt"]


def lasting(path: Path) -> list[str]:
    """The lines of a log without times."""
    return [line.split(" at ")[0].split("time=")[0] for line in path.read_text().splitlines()]


def test_words_and_logs_are_those_of_local_sh(cluster, tmp_path):
    """All but the times are the same, in files whose names have a space, a per cent sign and the job's number."""
    for backend in ("local", "slurm"):
        (tmp_path / backend).mkdir()
        words = ("--num-threads", 2, "JOB=2:4", "a b%c/x.JOB.log", "printf", "%s|", *WORDS)
        done = run(f"{backend}.sh", *words, cwd=tmp_path / backend)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = [path.relative_to(tmp_path / "local") for path in (tmp_path / "local").rglob("*.*")]
    assert len(made) == 6
    for path in made:
        assert lasting(tmp_path / "slurm" / path) == lasting(tmp_path / "local" / path)
    assert (tmp_path / "slurm/3.txt").read_text() == 'two  words|it\'s "q" $HOME|é*?~|back\\slash|a;b|no.3||'


def test_a_failed_task_fails_the_array_and_is_counted(cluster, tmp_path):
    script = "echo here it went wrong; exit $((JOB == 2 ? 3 : 0))"
    done = run("slurm.sh", "JOB=1:3", tmp_path / "x.JOB.log", "bash", "-c", script)
    assert done.returncode == 1
    assert f"slurm.sh: 1 / 3 failed, log is in {tmp_path}/x.*.log" in done.stderr
    assert "here it went wrong" in done.stderr and "# Ended (code 3) at " in (tmp_path / "x.2.log").read_text()


@pytest.mark.parametrize("whom", ["$$", "0"], ids=["command", "task"])
def test_a_task_killed_outright_has_failed(cluster, tmp_path, whom):
    done = run("slurm.sh", "JOB=1:2", tmp_path / "x.JOB.log", "bash", "-c", f"[ JOB = 1 ] || kill -KILL {whom}")
    assert done.returncode == 1 and "1 / 2 failed" in done.stderr
    assert ("# Ended (code 137)" in (tmp_path / "x.2.log").read_text()) == (whom == "$$")


def test_tasks_take_turns_if_told_to(cluster, tmp_path):
    script = f'mkdir "{tmp_path}/busy" && sleep 0.5 && rmdir "{tmp_path}/busy"'
    words = ("J=1:3", tmp_path / "x.J.log", "bash", "-c", script)
    assert run("slurm.sh", "--max-jobs-run", 1, *words).returncode == 0
    assert run("slurm.sh", *words).returncode == 1  # they would meet


# Ends


# A loop, for the sleep may be killed before bash is.
SAVES = 'trap "sleep 0.5; echo saved; exit 143" TERM; echo up; while :; do sleep 60 & wait; done'


def test_tasks_cancelled_from_outside_have_failed(begin, tmp_path):
    process = begin("--max-jobs-run", 1, "JOB=1:2", tmp_path / "x.JOB.log", "bash", "-c", SAVES)
    assert run("scancel", job_of(tmp_path / "x.1.log")).returncode == 0
    assert "2 / 2 failed" in process.communicate(timeout=60)[1] and process.returncode == 1
    assert "\nsaved\n" in (tmp_path / "x.1.log").read_text()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_an_interruption_cancels_the_tasks_and_waits_for_them(begin, tmp_path, sent, status):
    logs = [tmp_path / f"x.{number}.log" for number in (1, 2)]
    process = begin("JOB=1:2", tmp_path / "x.JOB.log", "bash", "-c", SAVES)
    job_of(*logs)
    os.killpg(process.pid, sent)
    process.communicate(timeout=60)
    assert process.returncode == status and not queue()
    for log in logs:
        assert log.read_text().count("\nsaved\n") == 1 and "# Ended (code 143)" in log.read_text()


def test_an_interruption_while_tasks_are_submitted_leaves_none(begin, tmp_path):
    slow = tmp_path / "slow_sbatch"
    slow.write_text(f'#!/bin/sh\ntouch "{tmp_path}/asked"\nsleep 1\nexec sbatch "$@"\n')
    slow.chmod(0o755)
    (tmp_path / "slurm.conf").write_text(f"command {slow}\n")
    process = begin("--config", tmp_path / "slurm.conf", tmp_path / "x.log", "sleep", 60)
    wait_until((tmp_path / "asked").exists)
    os.killpg(process.pid, signal.SIGTERM)
    assert "cancelling job" in process.communicate(timeout=60)[1] and process.returncode == 143 and not queue()


def test_a_controller_that_does_not_answer_is_asked_again(cluster, tmp_path):
    deaf = tmp_path / "squeue"
    deaf.write_text(
        f'#!/bin/sh\nif ! mkdir "{tmp_path}/asked" 2> /dev/null; then exec {shutil.which("squeue")} "$@"; fi\n'
        'echo "Unable to contact slurm controller" >&2\nexit 1\n'
    )
    deaf.chmod(0o755)
    path = f"{tmp_path}:{environment()['PATH']}"
    done = run("slurm.sh", tmp_path / "x.log", "sleep", 2, PATH=path)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "asked").exists()


RESUMES = f'if [ -e "$1" ]; then echo resumed; exit 0; fi; touch "$1"; {SAVES}'


def lose_node(job: str) -> None:
    """As the controller does when a node has long been silent."""
    host = socket.gethostname().split(".")[0]
    assert run("scontrol", "update", f"nodename={host}", "state=down", "reason=test").returncode == 0
    run("scontrol", "update", f"nodename={host}", "state=resume")  # refused if the node has come back by itself
    wait_until(lambda: "down" not in run("sinfo", "--noheader", "--format", "%T").stdout)


def requeue(job: str) -> None:
    assert run("scontrol", "requeue", job).returncode == 0


@pytest.mark.parametrize("disturb", [requeue, lose_node])
def test_a_requeued_task_starts_again_and_keeps_its_log(begin, tmp_path, disturb):
    log = tmp_path / "x.log"
    process = begin(log, "bash", "-c", RESUMES, "resumes", tmp_path / "mark")
    disturb(job_of(log))
    assert process.communicate(timeout=120) == (None, "") and process.returncode == 0
    text = log.read_text()
    assert text.index("\nup\n") < text.index("\nresumed\n") and text.count("# Started at ") == 2
    assert text.splitlines()[-1].startswith("# Ended (code 0) at ")
    assert disturb is lose_node or "\nsaved\n" in text


def test_a_requeued_task_that_is_cancelled_before_it_starts_again_has_failed(begin, tmp_path):
    log = tmp_path / "x.log"
    process = begin(log, "bash", "-c", RESUMES, "resumes", tmp_path / "mark")
    job = job_of(log)
    requeue(job)
    wait_until(lambda: "PENDING" in run("squeue", "--noheader", "--format", "%T").stdout)
    assert run("scancel", job).returncode == 0
    assert "1 / 1 failed" in process.communicate(timeout=60)[1] and process.returncode == 1


@pytest.mark.slow
def test_a_task_is_warned_before_its_time_is_up(cluster, tmp_path):
    done = run("slurm.sh", "--time", 1, tmp_path / "x.log", "bash", "-c", SAVES)
    text = (tmp_path / "x.log").read_text()
    assert done.returncode == 1 and text.count("\nsaved\n") == 1 and "# Ended (code 143)" in text


# Recipes


def test_the_recipe_runs_under_slurm(cluster, tmp_path):
    words = ("--nj", 2, "--work", tmp_path / "a b", "--stop_stage", 1)
    done = run(ROOT / "egs/mini/vc2/run.sh", *words, cmd_backend="slurm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in (tmp_path / "a b/dump/log/train.log").read_text()


@pytest.mark.slow
def test_many_pairs_are_one_array_of_slurm(cluster, checkout, three, tmp_path):
    settings = ("--conf", TINY, "--features_conf", checkout / "features.yaml", "--nj", 2, "--device", "cpu")
    words = (*settings, "--corpus", three, "--work", tmp_path / "a b", *MANY)
    done = run(checkout / "egs/mini/vc2/run.sh", *words, cmd_backend="slurm")
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = (tmp_path / "a b/exp").glob("2_pairs_*_tiny")
    assert len((folder / "results.md").read_text().splitlines()[2:6]) == 4
    assert "# Running on" in (folder / "log/train.2.log").read_text()


@pytest.mark.slow
def test_training_that_is_requeued_ends_with_the_same_model(begin, mini, tmp_path):
    more = ("--device", "cpu", "--set", "training.steps=60")
    expected = trained(mini, tmp_path / "straight", *more) / "model.safetensors"
    name, *words = training(mini, tmp_path / "requeued", *more)
    log = tmp_path / "x.log"
    process = begin("--num-threads", 2, log, Path(sys.executable).with_name(f"vc-{name}"), *words)
    reports = tmp_path / "requeued/log.jsonl"
    wait_until(lambda: reports.is_file() and reports.read_text(), 120)
    requeue(queue()[0])
    assert process.communicate(timeout=240) == (None, "") and process.returncode == 0
    assert "stopped by SIGTERM after step" in log.read_text() and log.read_text().count("# Started at ") == 2
    made = tmp_path / "requeued/model.safetensors"
    assert hashlib.sha256(made.read_bytes()).digest() == hashlib.sha256(expected.read_bytes()).digest()
