#!/usr/bin/env bash
# Make tools/venv: the pinned packages and this checkout, editable. Safe to repeat; cheap when nothing has changed.
# PYTHON chooses the interpreter (default: python3), TORCH=cpu or TORCH=cuda whether torch can use a GPU (default: cuda
# where there is an NVIDIA device; what has been set up for one stays so).
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$(readlink -f "$0")")/.."

python=${PYTHON:-python3}
venv=tools/venv
stamp=tools/.stamp
log=tools/.stamp.optional.log

fail() {
    echo "tools/setup.sh: error: $1" >&2
    exit 1
}

check_python() {
    command -v "$python" > /dev/null || fail "no $python; on Debian or Ubuntu: apt install python3 python3-venv"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$("$python" --version) is too old: 3.10 or newer is needed; PYTHON=/path/to/python3 chooses another"
    "$python" -c 'import ensurepip, venv' 2> /dev/null ||
        fail "$python cannot make virtual environments; on Debian or Ubuntu: apt install python3-venv"
}

digest() { sha256sum | cut -c 1-64; }

# An environment belongs to one folder and one interpreter ...
place() { { pwd && "$python" -c 'import sys; print(sys.version, sys.base_prefix)'; } | digest; }
# ... and holds what these files say.
pins() { cat tools/setup.sh tools/install_torch.sh tools/requirements*.txt tools/lock-*.txt setup.cfg pyproject.toml | digest; }

# What torch is to compute on, and what the environment that is there was made for.
kind() {
    case ${TORCH-} in
    cpu | cuda) echo "$TORCH" ;;
    '') if [ "$(made_for)" = cuda ] || has_gpu; then echo cuda; else echo cpu; fi ;;
    *) fail "TORCH is cpu or cuda, not '$TORCH'" ;;
    esac
}
made_for() { if [ -f "$stamp" ]; then grep -q ' cpu$' "$stamp" && echo cpu || echo cuda; fi; }
has_gpu() { nvidia-smi --list-gpus 2> /dev/null | grep -q GPU || compgen -G '/dev/nvidia[0-9]*' > /dev/null; }

works() { [ -f "$stamp" ] && "$venv/bin/python" -c "import $1" 2> /dev/null; }

install() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input install "$@"; }

install_everything() {
    local lock quiet=() constraint=() pinned=(--requirement tools/requirements.txt)
    [ -t 1 ] || quiet=(--quiet)
    lock=tools/lock-$("$python" -c 'import platform as p
print(p.system().lower(), p.machine(), "py" + ".".join(p.python_version_tuple()[:2]), sep="-")').txt
    [ ! -f "$lock" ] || constraint=(--constraint "$lock")
    pinned+=("${constraint[@]}" --no-warn-conflicts) # about what is left out on purpose
    install "${quiet[@]}" "${pinned[@]}"
    tools/install_torch.sh "$venv/bin/python" "$kind" "${quiet[@]}" "${constraint[@]}"
    install "${quiet[@]}" --no-deps --requirement tools/requirements-apart.txt
    "$venv/bin/python" -m pip uninstall --yes vc &> /dev/null # what this checkout was called before nonparallel-vc
    install "${quiet[@]}" --no-deps --no-build-isolation --editable .
    install "${pinned[@]}" --requirement tools/requirements-optional.txt > "$log" 2>&1 ||
        echo "tools/setup.sh: no pysptk (building it needs a C compiler; see $log): the tests against it will be" \
            "skipped; to try again: rm $stamp; make setup"
}

check_python
if command -v flock > /dev/null; then # of two at once, the second waits and finds the work done
    exec 9> tools/.stamp.lock
    flock 9
fi
kind=$(kind)
wanted="$(place) $(pins) $kind"
if works vc && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
case $kind in
cuda) echo "Setting up $venv: about 6 GB, some minutes the first time" ;;
cpu) echo "Setting up $venv: about 3 GB, some minutes the first time; no NVIDIA device is seen here: where jobs run on" \
    "machines that have one, TORCH=cuda make setup" ;;
esac
fresh=--clear
if works pip && [ "$(made_for)" = "$kind" ] && [ "$(cut -d ' ' -f 1 "$stamp")" = "${wanted%% *}" ]; then
    fresh=--upgrade
fi
rm -f "$stamp"
"$python" -m venv "$fresh" "$venv"
install_everything
"$venv/bin/python" tools/check_environment.py
echo "$wanted" > "$stamp" # last: a set-up that fails is done again
