"""Laws of the shell: Kaldi's rules for options and jobs, stages that refuse by name."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import ROOT, TINY, UTILS, commands, environment, heed_interruption, run
from fork_server import SCRIPT

from vc.metrics.registry import METRICS

# Options


@pytest.fixture
def options(tmp_path):
    """Run a script with a few options; what it prints is what they became."""
    script = tmp_path / "script.sh"
    script.write_text(
        "help_message='usage: so and so'\nnum_jobs=4\nverbose=false\ntag=\nconf=plain.yaml\n"
        f". '{UTILS}/parse_options.sh' || exit 1\nset -eu\n"
        'printf "%s|" "$num_jobs" "$verbose" "$tag" "$conf" "$@"\n'
    )
    return lambda *words: run("bash", script, *words, cwd=tmp_path)


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([], "4|false||plain.yaml|"),
        (["--num-jobs", "8", "--num_jobs", "9"], "9|false||plain.yaml|"),
        (["--verbose", "true", "a b", "--tag", "x"], "4|true||plain.yaml|a b|--tag|x|"),
        (["--tag", "two words $HOME"], "4|false|two words $HOME|plain.yaml|"),
        (["--tag", "--set a=1"], "4|false|--set a=1|plain.yaml|"),
        (["--tag", "", "--", "--verbose"], "4|false||plain.yaml|--verbose|"),
    ],
)
def test_options_become_variables(options, words, printed):
    assert options(*words).stdout == printed


def test_known_options_are_those_that_the_help_explains():
    """Not those of other commands that an explanation mentions."""
    done = run(ROOT / "recipes/pair/run.sh", "--sorce", "A")
    [known] = re.findall(r"^run.sh: error: unknown option --sorce; known: (.*)\n$", done.stderr)
    assert {"--source", "--stop_stage", "--max_jobs", "--evaluate_opts", "--config"} < set(known.split())
    assert not {"--conventions", "--measures", "--set", "--vocoder"} & set(known.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "8"], "error: unknown option --jobs\n"),
        (["--num-jobs=8"], "write '--num-jobs 8' with a space"),
        (["--verbose", "yes"], "--verbose takes true or false, not 'yes'"),
        (["--tag"], "--tag needs a value"),
        (["--config", "none.sh"], "--config none.sh: no such file"),
        (["--a;b", "1"], "unknown option --a;b"),
    ],
)
def test_bad_options_are_refused_by_name(options, words, message):
    done = options(*words)
    assert done.returncode == 1 and message in done.stderr and not done.stdout


def test_the_command_line_wins_over_a_config_file(options, tmp_path):
    (tmp_path / "mine.sh").write_text("num_jobs=7\ntag=mine\n")
    assert options("--num-jobs", "8", "--config", "mine.sh").stdout == "8|false|mine|plain.yaml|"


def test_help_is_printed(options):
    done = options("--tag", "x", "--help")
    assert done.stdout == "usage: so and so\n" and done.returncode == 0


# Jobs


def test_an_array_runs_each_job_into_its_own_log(tmp_path):
    log, words = tmp_path / "a b" / "x.JOB.log", ("echo", "job JOB of  $HOME", "|", "tr", "a-z", "A-Z")
    done = run("local.sh", "--max-jobs-run", 2, "--mem", "2G", "JOB=1:3", log, *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for number in (1, 2, 3):
        lines = (tmp_path / "a b" / f"x.{number}.log").read_text().splitlines()
        assert "echo" in lines[0] and lines[0].startswith("# ")
        assert any(line.startswith("# Started at ") for line in lines)
        assert f"JOB {number} OF  $HOME" in lines
        assert lines[-2].startswith("# Accounting: time=") and lines[-1].startswith("# Ended (code 0) at ")


def test_a_failed_job_fails_the_array_and_is_counted(tmp_path):
    script = "echo here it went wrong; exit $((JOB == 2 ? 3 : 0))"
    done = run("local.sh", "JOB=1:3", tmp_path / "x.JOB.log", "bash", "-c", script)
    assert done.returncode == 1
    assert f"1 / 3 failed, log is in {tmp_path}/x.*.log" in done.stderr and "here it went wrong" in done.stderr
    assert "# Ended (code 3) at " in (tmp_path / "x.2.log").read_text()
    assert "# Ended (code 0) at " in (tmp_path / "x.3.log").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["JOB=0:2", "x.JOB.log", "true"], "numbers start at 1"),
        (["JOB=3:2", "x.JOB.log", "true"], "bad range"),
        (["JOB=1:2", "x.log", "true"], "JOB does not occur in the log's name"),
        (["--max-jobs-run", "many", "x.log", "true"], "--max-jobs-run needs a whole number"),
        (["--gpu"], "--gpu needs a value"),
        (["x.log"], "usage: local.sh"),
    ],
)
def test_bad_job_calls_are_refused_by_name(tmp_path, words, message):
    done = run("local.sh", *words, cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", [True, False])
def test_jobs_of_one_gpu_take_turns_where_there_is_one(tmp_path, there):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\nexit {0 if there else 1}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    (tmp_path / "nproc").write_text("#!/bin/sh\necho 3\n")
    (tmp_path / "nproc").chmod(0o755)
    path = f"{tmp_path}:{UTILS}:{os.environ['PATH']}"
    script = f'mkdir "{tmp_path}/busy" && sleep 0.5 && rmdir "{tmp_path}/busy"'
    done = run("local.sh", "--gpu", 1, "J=1:3", tmp_path / "x.J.log", "bash", "-c", script, PATH=path)
    assert done.returncode == (not there)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_stops_its_jobs_and_waits_for_them(tmp_path, sent, status):
    script = 'trap "sleep 0.3; echo saved; exit 143" TERM; echo up; sleep 60 & wait'
    words = ["local.sh", "--max-jobs-run", "2", "JOB=1:2", str(tmp_path / "x.JOB.log"), "bash", "-c", script]
    settings = {"start_new_session": True, "preexec_fn": heed_interruption}
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL, **settings)
    logs = [tmp_path / "x.1.log", tmp_path / "x.2.log"]
    wait_until(lambda: all(log.is_file() and "\nup\n" in log.read_text() for log in logs))
    os.killpg(process.pid, sent)
    assert process.wait(timeout=20) == status
    for log in logs:
        assert "\nsaved\n" in log.read_text() and "# Ended (code 143)" in log.read_text()


def test_an_interrupted_recipe_stops_its_stage_and_starts_no_other(tmp_path):
    script = tmp_path / "run.sh"
    script.write_text(
        f"train_cmd=local.sh\n. '{UTILS}/stages.sh'\nset -euo pipefail\n"
        """slow() { job x.log bash -c 'trap "sleep 0.3; echo saved; exit 143" TERM; echo up; sleep 60 & wait'; }\n"""
        "never() { touch never; }\nrun_stages 0 1 slow never\n"
    )
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["bash", script], env=environment(), cwd=tmp_path, **quiet)
    wait_until(lambda: (tmp_path / "x.log").is_file() and "\nup\n" in (tmp_path / "x.log").read_text())
    process.terminate()  # it alone, not its process group
    assert process.wait(timeout=20) == 143
    assert "\nsaved\n" in (tmp_path / "x.log").read_text() and not (tmp_path / "never").exists()


def wait_until(true, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# Recipes


def recipe(checkout: Path, *words: object, forked: bool = True) -> subprocess.CompletedProcess:
    """The demo with a model of seconds, called from a folder above it by a relative path."""
    settings = ("--conf", TINY, "--features_conf", "features.yaml", "--nj", 1, "--device", "cpu")
    settings += ("--evaluate_opts", "--measures none")
    return run("egs/mini/vc2/run.sh", *settings, *words, cwd=checkout, forked=forked)


@pytest.mark.parametrize("forked", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_recipe_goes_from_a_corpus_to_two_reports(forked, checkout):
    tag = "whole" if forked else "as_users_start_it"
    words = ("--tag", tag, "--train_opts", "--set training.steps=2 --set training.batch=1")
    words += ("--convert_opts", "--keep-f0")
    done = recipe(checkout, *words, forked=forked)
    assert done.returncode == 0, done.stdout + done.stderr
    experiment = checkout / f"egs/mini/vc2/exp/slt-rms_tiny_{tag}"
    assert any("--keep-f0" in path.read_text() for path in (experiment / "log").rglob("convert*.*"))
    for way in ("slt-rms", "rms-slt"):
        assert len(list((experiment / "converted" / way).glob("*.wav"))) == 2
        assert json.loads((experiment / "evaluation" / way / "metrics.json").read_text())["mcd"] > 0
        assert f"Report: {(experiment / 'evaluation' / way / 'report.html').as_uri()}" in done.stdout.splitlines()[-5:]
        assert re.search(f"^{way.replace('-', ' to ')}: .*{way.partition('-')[2]}.*[.]$", done.stdout, re.MULTILINE)
    times = {path: path.stat().st_mtime_ns for path in experiment.glob("[!l]*/*/*")}  # but the logs'
    again = recipe(checkout, *words, forked=forked)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("nothing to do") == 5  # features, two conversions, two evaluations
    assert {path: path.stat().st_mtime_ns for path in experiment.glob("[!l]*/*/*")} == times


def test_a_recipe_with_held_out_utterances_keeps_the_best_model_by_them(checkout):
    script = checkout / "with dev.sh"
    script.write_text('egs/mini/vc2/local/data.sh "$@" || exit 1\nvc-prepare "$1/eval" "$2/dev"\n')
    script.write_text("#!/usr/bin/env bash\n" + script.read_text().replace("egs/", f'"{checkout}"/egs/', 1))
    script.chmod(0o755)
    words = ("--prepare", script.name, "--work", "held out", "--stop_stage", 2)
    done = recipe(checkout, *words, "--train_opts", "--set training.steps=2 --set training.samples=0")
    assert done.returncode == 0, done.stdout + done.stderr
    log = (checkout / "held out/exp/slt-rms_tiny/log.jsonl").read_text()
    assert json.loads(log.splitlines()[-1])["held_out"]["score"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stagges", "2"], "unknown option --stagges; known: --stage --stop_stage --prepare --corpus"),
        (["--stage", "two"], "take whole numbers, not 'two'"),
        (["--stage", "7"], "--stage 7: the last stage is 4"),
        (["--nj", "two"], "--nj takes a whole number from 1 on, not 'two'"),
        (["--nj", "0"], "--nj takes a whole number from 1 on, not '0'"),
        (["two"], "unexpected argument 'two'"),
        (["--conf", "none.yaml"], "--conf: no such YAML file: 'none.yaml'"),
        (["--features_conf", "none.yaml"], "--features_conf: no such YAML file: 'none.yaml'"),
        (["--target", ""], "give --source and --target"),
        (["--prepare", "none.sh"], "--prepare: no such executable script"),
        (["--corpus", "none"], "no such folder"),
        (["--stage", "1"], "data/train/wav.scp is missing: stage 0 makes it"),
        (["--stage", "2"], "dump/train/config.yaml is missing: stage 1 makes it"),
        (["--stage", "3"], "model.safetensors is missing: stage 2 makes it"),
        (["--stage", "4"], "converted/slt-rms.sha256 is missing or out of date: stage 3 makes it"),
    ],
)
def test_the_recipe_refuses_by_name(checkout, tmp_path, words, message):
    done = recipe(checkout, "--work", tmp_path, *words)
    assert done.returncode == 1 and message in done.stderr
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


LEADS_OUT = ("../../keep", "/keep", ".", "..", "-rf", "a/b", "a;b")


@pytest.mark.parametrize("name", LEADS_OUT)
@pytest.mark.parametrize("option", ["source", "target", "speakers", "tag"])
def test_a_name_that_leads_out_of_its_folder_is_refused(checkout, tmp_path, option, name):
    done = recipe(checkout, "--work", tmp_path / "work", f"--{option}", name)
    assert done.returncode == 1 and f"'{name}' is no name" in done.stderr and not (tmp_path / "work").exists()


@pytest.mark.parametrize("corpus", sorted(path.parents[2].name for path in ROOT.glob("egs/*/vc2/local/data.sh")))
def test_the_data_of_a_corpus_are_of_names_alone(tmp_path, corpus):
    """It removed a folder that --source led to."""
    (tmp_path / "keep").mkdir()
    done = run(
        ROOT / f"egs/{corpus}/vc2/local/data.sh", tmp_path, tmp_path / "work/data", "../../../keep", cwd=tmp_path
    )
    assert done.returncode == 1 and "'../../../keep' is no name" in done.stderr and (tmp_path / "keep").is_dir()


@pytest.mark.parametrize("operator", [";", "|", "||", "&&", ">", ">>", "<", "2>&1"])
def test_options_of_a_recipe_hold_no_operators(tmp_path, operator):
    """To a backend they would act."""
    script = '. "$1/utils/stages.sh"; train_cmd=local.sh; job log echo a "$2" touch PWNED'
    done = run("bash", "-c", script, "", ROOT / "recipes", operator, cwd=tmp_path)
    assert done.returncode == 1 and f"'{operator}': options hold no operators" in done.stderr
    assert not any(tmp_path.iterdir())


def test_any_command_with_kaldis_calling_convention_runs_the_jobs(checkout, tmp_path):
    """As Kaldi's do: options are pairs of words, and a word with a space is put in double quotes for bash to read."""
    other = tmp_path / "other.pl"
    other.write_text(
        '#!/usr/bin/env bash\nwhile [[ $1 == -* ]]; do shift 2; done\nlog=$1 line=\nshift\nfor word in "$@"; do\n'
        'if [[ $word == *[[:space:]]* ]]; then line+="\\"$word\\" "; else line+="$word "; fi\ndone\n'
        'mkdir -p `dirname $log`\nbash -c "( $line ) > $log 2>&1"\n'
    )
    other.chmod(0o755)
    words = ("--work", tmp_path / "a b", "--stop_stage", 1, "--train_cmd", f"{other} --mem 2G")
    done = recipe(checkout, *words, forked=False)  # the commands as users start them
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 utterances, 0 failed" in (tmp_path / "a b/dump/log/train.log").read_text()


def test_backends_are_refused_by_name(checkout):
    done = run(checkout / "egs/mini/vc2/run.sh", cmd_backend="sge")
    assert done.returncode == 1 and "unknown cmd_backend 'sge'; known: local, slurm" in done.stderr


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({}, "local.sh"),
        ({"cmd_backend": "slurm"}, "slurm.sh"),
        ({"cmd_backend": "slurm", "train_cmd": "slurm.sh -p long"}, "slurm.sh -p long"),
    ],
)
def test_a_backend_runs_its_own_command_unless_told_otherwise(given, command):
    assert (
        run("bash", "-c", '. "$1" && echo "$train_cmd"', "", ROOT / "recipes/pair/cmd.sh", **given).stdout
        == f"{command}\n"
    )


def test_a_missing_package_is_named(checkout, tmp_path):
    """Without the package, the first line says how to install it."""
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([checkout / "egs/mini/vc2/run.sh"], capture_output=True, text=True, env=env)
    assert done.returncode == 1 and "run 'make setup' first" in done.stderr


# Many pairs


QUICK = "--set training.steps=2 --set training.batch=1 --set training.samples=0"
MANY = ("--sources", "slt kal", "--targets", "rms", "--train_opts", QUICK)


def test_many_pairs_are_one_array_and_one_table(checkout, three):
    words = ("--corpus", three, "--work", "many pairs", *MANY)
    done = recipe(checkout, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        r"slt-rms: 1 min \(2 steps of \S+ s on cpu, threads: 1\), [^\n]+\n2 such pairs are to be", done.stdout
    )
    ways = ("slt-rms", "rms-slt", "kal-rms", "rms-kal")
    [results] = (checkout / "many pairs/exp").glob("2_pairs_*_tiny/results.md")
    table = results.read_text()
    rows = [line.split("|")[1].strip() for line in table.split("\n\n")[0].splitlines()[2:]]
    shown = ("unconverted", "mean-variance", "converted", "copy-synthesis", "reference")
    assert rows == [f"{way}, {system}" for way in (*ways, "mean") for system in shown]
    assert [Path(line).parent.name for line in done.stdout.splitlines() if line.startswith("Report: ")] == list(ways)
    pages = re.findall(r"evaluations on one page: file://(\S+)", done.stdout)
    assert [Path(unquote(page)).read_text().count("<a href=") for page in pages] == [len(ways)]
    made = {path: path.stat().st_mtime_ns for path in (checkout / "many pairs/exp").glob("*-rms_tiny/*/*")}
    again = recipe(checkout, *words)
    assert again.returncode == 0 and again.stdout.count("nothing to do") == 9, again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_what_is_converted_and_evaluated_is_of_this_model_and_these_options(checkout, tmp_path):
    """Stages 3 and 4, with doubles of the commands that write down their options."""
    double = """#!/usr/bin/env bash
        [ "$1" != --pairs ] || exit 0
        words=("$@")
        while [ "$1" != --output ]; do shift; done
        mkdir -p "$2"
        for id in 1 2; do echo "$$" > "$2/$id.wav"; done
        echo "${words[@]}" > "$2/options"
        [ "${0##*/}" = vc-convert ] || { cp metrics.json "$2"; echo page > "$2/report.html"; }"""
    bin_folder, work = tmp_path / "bin", tmp_path / "work"
    experiment = work / "exp/slt-rms_tiny"
    for folder in (bin_folder, experiment, *(work / "data/eval" / speaker for speaker in ("slt", "rms"))):
        folder.mkdir(parents=True)
    for name in ("vc-convert", "vc-evaluate"):
        (bin_folder / name).write_text(double)
        (bin_folder / name).chmod(0o755)
    for speaker in ("slt", "rms"):
        (work / f"data/eval/{speaker}/wav.scp").write_text("1 1.wav\n2 2.wav\n")
        (work / f"data/eval/{speaker}/utt2spk").write_text(f"1 {speaker}\n2 {speaker}\n")
    (experiment / "model.safetensors").write_text("a model")
    content = evaluated(work / "metrics.json", {"converted": [1.0, 2.0]})
    content.write_text(json.dumps({**json.loads(content.read_text()), "title": "slt to rms"}))

    def stages(first: int, convert: str, evaluate: str) -> subprocess.CompletedProcess:
        words = (checkout / "egs/mini/vc2/run.sh", "--conf", TINY, "--work", work, "--stage", first, "--nj", 1)
        words += ("--convert_opts", convert, "--evaluate_opts", evaluate)
        return run(*words, PATH=f"{bin_folder}:{environment()['PATH']}")

    def options(kind: str) -> list[str]:
        return [(experiment / kind / way / "options").read_text() for way in ("slt-rms", "rms-slt")]

    for convert, evaluate, unchanged in (
        ("--keep-f0", "--measures none", 0),
        ("--keep-f0", "--measures phones", 2),
        ("", "--measures phones", 0),
        ("", "--measures  phones", 4),
    ):
        done = stages(3, convert, evaluate)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("nothing to do") == unchanged, (convert, evaluate, done.stdout)
        assert all(("--keep-f0" in line) == bool(convert) for line in options("converted"))
        assert all(line.split()[-1] == evaluate.split()[-1] for line in options("evaluation"))
    (experiment / "model.safetensors").write_text("another model")
    done = stages(4, "", "")
    assert done.returncode == 1 and "slt-rms.sha256 is missing or out of date: stage 3 makes it" in done.stderr
    assert "mcd" not in done.stdout


@pytest.mark.slow
def test_a_pair_that_fails_is_named_and_does_not_stop_the_others(checkout, three, tmp_path):
    words = ("--corpus", three, "--work", tmp_path, *MANY, "--stop_stage", 3)
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp/slt-rms_tiny").write_text("in the way")
    done = recipe(checkout, *words)
    assert done.returncode == 1 and "1 of 2 pairs failed" in done.stderr
    [log] = tmp_path.glob("exp/2_pairs_*_tiny/log/train.1.log")
    assert f"slt-rms: train of slt to rms failed, log is in {log}" in done.stderr
    assert len(list((tmp_path / "exp/kal-rms_tiny/converted").glob("*/*.wav"))) == 4
    (tmp_path / "exp/slt-rms_tiny").unlink()
    again = recipe(checkout, *words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("2 recordings converted") == 2 and again.stdout.count("nothing to do") == 3


def test_a_pair_that_fails_one_way_keeps_the_other_and_the_other_pair(checkout, three, tmp_path):
    """Nor does a first pair that cannot be estimated stop the second."""
    corpus = tmp_path / "corpus"
    shutil.copytree(three, corpus)
    words = ("--corpus", corpus, "--work", tmp_path / "work", *MANY)
    assert recipe(checkout, *words, "--stop_stage", 2).returncode == 0
    bad = sorted((corpus / "eval/slt").iterdir())[0]
    content = bad.read_bytes()
    bad.write_text("nothing")
    done = recipe(checkout, *words, "--stage", 3, "--stop_stage", 3)
    assert done.returncode == 1 and "slt-rms: convert of slt to rms failed" in done.stderr
    assert done.stdout.count("2 recordings converted") == 3 and "1 of 2 pairs failed" in done.stderr
    bad.write_bytes(content)
    done = recipe(checkout, *words, "--stage", 3, "--stop_stage", 3)
    assert done.returncode == 0 and done.stdout.count("2 recordings converted") == 1, done.stdout + done.stderr


def test_pairs_are_trained_though_the_first_is_too_short_to_be_estimated(checkout, three, tmp_path):
    words = ("--corpus", three, "--work", tmp_path, *MANY[:4])
    assert recipe(checkout, *words, "--stop_stage", 0).returncode == 0
    for path in (tmp_path / "data/train").iterdir():
        kept = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith("slt")]
        path.write_text("".join(kept))
    assert recipe(checkout, *words, "--stage", 1, "--stop_stage", 1).returncode == 0
    done = recipe(checkout, *words, "--stage", 2, "--stop_stage", 2, *MANY[4:])
    assert "No estimate of the cost" in done.stdout and "1 of 2 pairs failed" in done.stderr
    assert (tmp_path / "exp/kal-rms_tiny/model.safetensors").is_file()


def test_a_backend_that_does_not_run_is_no_success(checkout, tmp_path):
    """Nor are the logs of an earlier run."""
    words = ("--work", tmp_path, "--train_opts", QUICK)
    assert recipe(checkout, *words, "--stop_stage", 2).returncode == 0
    done = recipe(checkout, *words, "--stage", 2, "--stop_stage", 2, "--train_cmd", "no_such_backend.sh")
    assert done.returncode == 1 and "no_such_backend.sh did not run the jobs" in done.stderr


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("slt\n", "expected SOURCE TARGET, found 'slt'"),
        ("slt rms kal\n", "expected SOURCE TARGET, found 'slt rms kal'"),
        ("slt slt\n", "source and target are both slt"),
        ("slt rms\nslt rms\n", "the pair slt-rms stands twice"),
        ("# nothing\n\n", "give --source and --target, --sources and --targets, or --pairs FILE"),
    ],
)
def test_lists_of_pairs_are_refused_by_name(checkout, tmp_path, lines, message):
    (tmp_path / "pairs").write_text(lines)
    done = recipe(checkout, "--work", tmp_path / "work", "--pairs", tmp_path / "pairs")
    assert done.returncode == 1 and message in done.stderr and not (tmp_path / "work").exists()


def test_one_run_serves_both_ways_of_a_pair(checkout, tmp_path):
    """A grid of three speakers is three pairs."""
    words = ("--work", tmp_path, "--sources", "a b c", "--targets", "a b c", "--stop_stage", -1)
    done = recipe(checkout, *words)
    assert done.returncode == 0 and done.stdout.splitlines() == [
        "b-a: a-b serves both ways", "c-a: a-c serves both ways", "c-b: b-c serves both ways"
    ]  # fmt: skip


def test_each_job_of_an_array_has_its_line_of_a_list(tmp_path):
    """Word for word, in a script of its own that can be run by hand; its log begins with it."""
    script = """set -euo pipefail; . "$1/utils/stages.sh"; . "$1/utils/pairs.sh"
        train_cmd=local.sh lists="exp/two of them" failed=none max_jobs=1 exp_pattern=exp/{3}
        array print $'A B A-B\\nC D C-D' --mem 1G -- \\
            printf '%s|' '{1} to {2}' 'exp/{3}_x  y' '{4}' '$(touch no)' '|' 'a&b' """
    done = run("bash", "-c", script, "", ROOT / "recipes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lists = tmp_path / "exp/two of them"
    for number, line in enumerate(("A to B|exp/A-B_x  y|", "C to D|exp/C-D_x  y|"), 1):
        printed = f"{line}{{4}}|$(touch no)|||a&b|"
        assert f"\n{printed}#" in (lists / f"log/print.{number}.log").read_text()
        assert "\n# printf %s\\| " in (lists / f"log/print.{number}.log").read_text()
        assert run("bash", lists / f"log/split2/{number}/print.sh").stdout.splitlines()[1] == printed
    assert not list(tmp_path.rglob("no"))


def test_a_stage_shows_how_far_its_jobs_are(tmp_path):
    script = """set -euo pipefail; . "$1/utils/stages.sh"
        train_cmd=local.sh watch_seconds=0.1
        split_job exp 1 train.1 bash -c 'for n in 1 2; do echo "$n of 2"; sleep 1; done'
        run_split exp 1 train """
    done = run("bash", "-c", script, "", ROOT / "recipes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["1 of 2", "2 of 2"] and not done.stderr


def evaluated(path: Path, figures: dict[str, list[float]], metric: str = "mcd") -> Path:
    """A metrics.json of systems by their sentences' figures of one metric; `unconverted` is an anchor."""
    sums = {
        name: {
            **dict.fromkeys(METRICS),
            metric: sum(own) / len(own),
            "intervals": {each: [0.5, 2.0] for each in METRICS},
        }
        for name, own in figures.items()
    }
    anchors = {name: sums.pop(name) for name in ("unconverted",) if name in sums}
    rows = [
        {
            "sentence": f"{number}",
            "systems": {name: {metric: own[number]} for name, own in figures.items() if name in sums},
            "anchors": {name: {metric: figures[name][number]} for name in anchors},
        }
        for number in range(len(next(iter(figures.values()))))
    ]
    content = {"systems": sums, "anchors": anchors, "counts": {"utterances": len(rows)}, "utterances": rows}
    content["verdicts"] = {"converted": [{"aspect": "voice", "grade": "good", "text": "Converted."}]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def results(*words: object) -> subprocess.CompletedProcess:
    return run(commands() / SCRIPT, ROOT / "recipes/utils/results.py", *words)


def cells(done: subprocess.CompletedProcess, row: str) -> list[str]:
    """Of the first table's row of this name."""
    assert done.returncode == 0, done.stderr
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.split("\n\n")[0].splitlines()]
    [found] = [cells[1:] for cells in table if cells[0] == row]
    return found


def test_tables_are_written_between_their_marks(tmp_path):
    """RESULTS.md keeps everything else, and a place that is not there is refused."""
    path = evaluated(tmp_path / "A-B/metrics.json", {"converted": [1.0] * 7, "unconverted": [8.0] * 7})
    before, after = "# Results\n\n<!-- results: x -->\n", "<!-- end -->\n\nmore\n"
    (tmp_path / "RESULTS.md").write_text(before + "old\n" + after)
    assert results("--into", tmp_path / "RESULTS.md", "--name", "x", path).returncode == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.startswith(before) and text.endswith(after) and "old" not in text
    assert "| 7 sentences, ± half of the 95 % interval | `mcd` (dB) |" in text and "mean" not in text
    assert "| A-B, unconverted | 8.00 ± 0.75 |\n| A-B, converted | 1.00 ± 0.75 |" in text
    assert "| converted | 1.00 [0.50, 2.00] |" in text and "- voice, good: Converted." in text
    assert "speaker_similarity" not in text
    done = results("--into", tmp_path / "RESULTS.md", "--name", "y", path)
    assert done.returncode == 1 and "no lines '<!-- results: y -->'" in done.stderr
    assert (tmp_path / "RESULTS.md").read_text() == text


def test_the_live_recipe_has_a_table_of_the_ways_of_this_run_alone(checkout, tmp_path):
    for way in ("A-B", "B-A", "A-C", "C-A"):
        evaluated(tmp_path / f"live/evaluation/{way}/metrics.json", {"diff_50": [1.0] * 3})
    words = ("--work", tmp_path, "--sources", "A", "--targets", "B", "--stage", 2, "--train_cmd", "true")
    done = run(checkout / "recipes/live/run.sh", *words)
    assert done.returncode == 0 and "| A-B, diff 50 |" in done.stdout and "| B-A, diff 50 |" in done.stdout, done.stderr
    assert "A-C" not in done.stdout and "C-A" not in (tmp_path / "live/results.md").read_text()
    done = run(checkout / "recipes/live/run.sh", *words, "--sources", "A B", "--targets", "A B")
    ways = [row.split(",")[0] for row in done.stdout.splitlines() if row.endswith("|") and ", diff 50 |" in row]
    assert done.returncode == 0 and ways == ["| A-B", "| B-A", "| mean"]  # each once, and nobody to themselves


def test_grades_stand_in_a_table_of_their_own(tmp_path):
    path = evaluated(tmp_path / "A-B/metrics.json", {"converted": [1.0] * 7, "unconverted": [8.0] * 7})
    lines = results("--verdicts", path).stdout.splitlines()
    assert (lines[0], lines[2:]) == ("| A-B, 7 sentences | voice |", ["| converted | good |"])
    assert results("--verdicts", "--means", path).returncode == 2


@pytest.mark.parametrize(
    "metric", ["mcd", "gv_ratio", "distillmos", "dnsmos", "phone_error_added", "speaker_similarity"]
)
def test_what_decides_stands_in_the_first_table(tmp_path, metric):
    paths = [evaluated(tmp_path / way / "metrics.json", {"converted": [0.0, 1, 2]}, metric) for way in ("A-B", "B-A")]
    assert results(*paths).stdout.split("\n\n")[0].count(f"`{metric}`") == 1
    assert cells(results(*paths), "mean, converted")[0].startswith("1.0")
    assert re.search(r"± [\d.]+ \(1\.0+ to 1\.0+\)$", cells(results("--means", *paths), "mean, converted")[0])


def test_a_mean_over_directions_varies_with_directions_and_with_sentences(tmp_path):
    """Without any spread there is no interval; with either kind there is, and more of it with both."""
    halves = []
    for name, directions, sentences in (("none", 0, 0), ("ways", 1, 0), ("words", 0, 1), ("both", 1, 1)):
        paths = [
            evaluated(
                tmp_path / name / f"A-{way}/metrics.json",
                {"converted": [5 + directions * way + sentences * number for number in range(6)]},
            )
            for way in range(6)
        ]
        [cell] = cells(results("--means", *paths), "mean, converted")
        halves.append(float(cell.split("± ")[1].split()[0]))
        assert results("--means", *paths).stdout.count("\n") == 3  # one table, one row
    assert halves[0] == 0 < halves[1] and halves[2] == pytest.approx(halves[1], abs=0.15)
    assert halves[3] == pytest.approx((halves[1] ** 2 + halves[2] ** 2) ** 0.5, abs=0.2)


def test_experiments_on_the_same_directions_are_compared_pair_by_pair(tmp_path):
    """However the directions scatter, a difference that is the same everywhere is certain."""
    paths = [
        evaluated(
            tmp_path / f"exp/A-B_{name}/evaluation/{way}/metrics.json",
            {"unconverted": [9.0] * 4, "converted": [level + more + number for number in range(4)]},
        )
        for name, more in (("old", 0), ("new_one", -0.25))
        for way, level in (("A-B", 2), ("B-A", 6))
    ]
    done = results(*paths)
    assert cells(done, "A-B, old") == ["3.50 ± 0.75"] and cells(done, "B-A, new one") == ["7.25 ± 0.75"]
    assert cells(done, "new one less old") == ["-0.25 ± 0.00"]
    assert float(cells(done, "mean, old")[0].split(" ± ")[1]) > 1
    assert "- old, voice, good: Converted." in done.stdout and "- new one, voice, good" in done.stdout
    assert cells(results(*paths[:3]), "mean of 1, new one")[0].startswith("3.25 ± ")
    done = results(*paths, paths[0])
    assert done.returncode == 1 and "old once more" in done.stderr


# Set-up


@pytest.mark.parametrize("recipe", ["pair", "target", "many", "family", "vocoder", "live"])
def test_help_needs_no_set_up_and_all_else_says_what_is_missing(recipe, tmp_path):
    """The folder of a python3 that knows no vc stands first on PATH, and there is no tools/venv."""
    for folder in {"recipes/utils", "recipes/pair", f"recipes/{recipe}"}:
        shutil.copytree(ROOT / folder, tmp_path / folder, dirs_exist_ok=True, symlinks=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/python3").chmod(0o755)
    surroundings = {**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    line = [str(tmp_path / f"recipes/{recipe}/run.sh")]
    done = subprocess.run([*line, "--stage", "1", "--help"], env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: run.sh") and not done.stderr
    done = subprocess.run(line, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "run 'make setup' first" in done.stderr


@pytest.mark.parametrize("recipe", ["pair", "target", "many", "family", "vocoder", "live"])
def test_the_stages_of_a_recipe_are_those_of_its_help(recipe):
    text = (ROOT / f"recipes/{recipe}/run.sh").read_text()
    [stages] = re.findall(r"^stages=\(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL)
    numbers = [int(number) for number in re.findall(r"# (\d+): ", stages)]
    shown = subprocess.run([ROOT / f"recipes/{recipe}/run.sh", "--help"], capture_output=True, text=True).stdout
    told = re.findall(r"(\d) [a-z]", shown.partition("from and up to:")[2].partition("(default")[0])
    assert numbers == list(range(len(stages.splitlines()))) == [int(number) for number in told]


def test_set_up_names_the_missing_debian_package(tmp_path):
    python = tmp_path / "bare-python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    done = run(ROOT / "tools/setup.sh", PYTHON=str(python))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "apt install python3-venv" in done.stderr


def test_the_environment_is_complete():
    done = run(sys.executable, ROOT / "tools/check_environment.py")
    assert done.returncode == 0, done.stderr
    assert "libsndfile" in done.stdout and "CUDA" in done.stdout


# One target, anyone's recordings


ANYONE = """method: recognition_synthesis
features: {kind: content}
network: {channels: 8, content_channels: 8, dilations: [1], discriminator_channels: 2}
training: {steps: 2, batch: 1, segment: 32, samples: 0}
"""


def test_a_model_of_each_target_converts_who_is_in_none(checkout):
    (checkout / "anyone.yaml").write_text(ANYONE)
    words = ("--prepare", "egs/mini/vc2/local/data.sh", "--corpus", "egs/mini/corpus", "--conf", "anyone.yaml")
    words += ("--work", "any to one", "--sources", "slt", "--targets", "rms", "--nj", 1, "--device", "cpu")
    words += ("--convert_opts", "--vocoder world", "--evaluate_opts", "--measures none")
    done = run("recipes/target/run.sh", *words, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    experiment = checkout / "any to one/exp/rms_anyone"
    assert len(list((experiment / "converted/slt-rms").glob("*.wav"))) == 2
    results = json.loads((experiment / "evaluation/slt-rms/metrics.json").read_text())
    assert results["mcd"] > 0 and "mean_variance" not in results["anchors"]
    again = run("recipes/target/run.sh", *words, cwd=checkout)
    assert again.returncode == 0 and again.stdout.count("nothing to do") == 3, again.stdout + again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sources", "slt"), "give --sources 'A B ...' and --targets 'A B ...'"),
        (("--sources", "slt", "--targets", "rms rms"), "--targets: rms stands twice"),
        (("--sources", "slt", "--targets", "slt"), "--targets: nobody is converted to slt"),
        (
            ("--sources", "slt", "--targets", "rms", "--ways", "slt:rms rms:slt"),
            "--ways: 'rms:slt' is no SOURCE:TARGET",
        ),
    ],
)
def test_targets_are_refused_by_name(checkout, tmp_path, words, message):
    (checkout / "anyone.yaml").write_text(ANYONE)
    done = run("recipes/target/run.sh", "--conf", "anyone.yaml", "--work", tmp_path, *words, cwd=checkout)
    assert done.returncode == 1 and message in done.stderr
