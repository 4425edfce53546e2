#!/bin/sh
# Prints a directory of Node packages for NODE_PATH that has what the examples in docs, tests/console and the rig need, as
# tests/node/package-lock.json names them, and makes it in target where it is missing.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
node=$target/node
wanted=$(cat tests/node/package-lock.json)
mkdir -p "$node"

# Tests run side by side; one makes it, the others wait.
exec 9>"$target/node.lock"
flock 9
if [ "$(cat "$node/made" 2>/dev/null)" != "$wanted" ]; then
    cp tests/node/package.json tests/node/package-lock.json "$node"
    # No package's own program runs, so that none downloads anything (a browser, for one).
    npm ci --prefix "$node" --ignore-scripts --no-audit --no-fund --silent >&2
    echo "$wanted" >"$node/made"
fi
cd "$node/node_modules"
pwd
