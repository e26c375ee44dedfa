# shellcheck shell=bash
# The environment of every stage. OMP_NUM_THREADS is left alone: training on a CPU wants all cores.
path_root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..

# shellcheck source=/dev/null
[ ! -f "$path_root/tools/venv/bin/activate" ] || . "$path_root/tools/venv/bin/activate"
export PATH="$path_root/recipes/utils:$PATH"
export LC_ALL=C # Kaldi's order of lists
export PYTHONUTF8=1
export PYTHONUNBUFFERED=1 # logs are up to date

case " $* " in *' --help '* | *' -h '*) return 0 ;; esac # which needs no set-up
if ! python3 -c 'import vc' 2> /dev/null || ! command -v vc-train > /dev/null; then
    echo "path.sh: the package vc is not installed: run 'make setup' first" >&2
    return 1
fi
