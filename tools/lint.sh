#!/usr/bin/env bash
# Ruff over the Python, shellcheck over every shell script, with or without an extension.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
PATH="$PWD/tools/venv/bin:$PATH"

shell_scripts() {
    find . \( -path ./.git -o -path ./tools/venv -o -name downloads -o -name exp -o -name data -o -name dump \) -prune \
        -o -type f \( -name '*.sh' -o ! -name '*.*' \) -print0 |
        while IFS= read -r -d '' file; do
            IFS= read -r -n 64 first < "$file" 2> /dev/null || true
            if [[ $file == *.sh || $first =~ ^#!.*[/\ ](ba|da)?sh($|\ ) ]]; then printf '%s\0' "$file"; fi
        done
}

ruff check .
ruff format --check .
mapfile -d '' -t scripts < <(shell_scripts)
shellcheck --external-sources --source-path=SCRIPTDIR/.. "${scripts[@]}"
echo "${#scripts[@]} shell scripts pass shellcheck"
