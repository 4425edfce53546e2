#!/bin/sh
# Prints the interpreter of a virtual environment that has tests/python.txt, and makes it in target where it is missing.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
python=$target/python
mkdir -p "$target"

# Tests run side by side; one makes it, the others wait.
exec 9>"$target/python.lock"
flock 9
if ! cmp -s tests/python.txt "$python/made"; then
    rm -rf "$python"
    python3 -m venv "$python" >&2
    "$python/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/python.txt >&2
    cp tests/python.txt "$python/made"
fi
cd "$python/bin"
echo "$PWD/python"
