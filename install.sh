#!/usr/bin/env bash
# Installs the tools of requirements.txt and tests/requirements.txt into .venv, and nothing outside this folder.
#
# Usage: ./install.sh [--help]
#
# PYTHON  the interpreter to build .venv with, 3.10 or newer (default: python3)
set -euo pipefail
cd "$(dirname "$0")"

PYTHON="${PYTHON:-python3}"
REQUIREMENTS="requirements.txt tests/requirements.txt"
DONE=.venv/installed

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

if [ "${1:-}" = --help ]; then
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  exit
fi
[ $# -eq 0 ] || fail "unknown option $1; see ./install.sh --help"

# The copy is written last: while it equals the lists, .venv is whole and current.
# shellcheck disable=SC2086
if [ -x .venv/bin/python ] && cat $REQUIREMENTS | cmp -s - $DONE; then
  exit
fi

command -v "$PYTHON" >/dev/null || fail "no $PYTHON on PATH; install Python 3.10 or newer, or name one: PYTHON=/path/to/python3 ./install.sh"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "Python 3.10 or newer is needed, $PYTHON is $("$PYTHON" -V 2>&1); name a newer one: PYTHON=python3.13 ./install.sh"

echo "==> Installing the tools into .venv" >&2
trap 'rm -rf .venv' EXIT
rm -rf .venv
uv=uv
if ! command -v uv >/dev/null; then
  "$PYTHON" -m venv .venv/bootstrap >/dev/null ||
    fail "$PYTHON has no working venv module; on Debian or Ubuntu: sudo apt install python3-venv"
  uv=.venv/bootstrap/bin/uv
  .venv/bootstrap/bin/pip install --quiet --disable-pip-version-check "$(grep '^uv==' requirements.txt)" ||
    fail "could not download uv; check the network (or the proxy: HTTPS_PROXY), then run ./install.sh again"
fi
"$uv" venv --quiet --allow-existing --relocatable --python "$(command -v "$PYTHON")" .venv
"$uv" pip install --quiet --python .venv/bin/python --requirements requirements.txt --requirements tests/requirements.txt ||
  fail "could not install the tools; check the network (or the proxy: HTTPS_PROXY), then run ./install.sh again"
rm -rf .venv/bootstrap
# shellcheck disable=SC2086
cat $REQUIREMENTS >$DONE
trap - EXIT
