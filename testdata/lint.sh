#!/bin/sh
# Runs golangci-lint, which it installs once into the directory of built tools.
#
#   lint.sh BIN MODULE@VERSION
set -eu
bin=$1 module=$2
[ -x "$bin/golangci-lint" ] || GOBIN=$bin go install "$module"
exec "$bin/golangci-lint" run ./...
