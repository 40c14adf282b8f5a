#!/bin/sh
# Builds the big test programs of this module into the project's .cache/bin,
# where the tests look for them. A second run without changes costs a second.
# Usage: testdata/peers/build.sh [DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-$here/../../.cache/bin}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
cd "$here"
go build -o "$bin/registry" github.com/distribution/distribution/v3/cmd/registry
echo "built $bin/registry"
