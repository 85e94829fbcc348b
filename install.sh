#!/usr/bin/env bash
# Installs the tools of requirements.txt and local/tests/requirements.txt into .venv, and nothing outside this folder.
#
# Usage: ./install.sh [--check | --help]
#
# --check  install nothing; tell what this machine has and lacks
# PYTHON   the interpreter to build .venv with, 3.10 or newer (default: python3)
set -euo pipefail
cd "$(dirname "$0")"

PYTHON="${PYTHON:-python3}"
REQUIREMENTS="requirements.txt local/tests/requirements.txt"
DONE=.venv/installed

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

# The copy is written last: while it equals the lists, .venv is whole and current.
# shellcheck disable=SC2086
current() { [ -x .venv/bin/python ] && cat $REQUIREMENTS | cmp -s - $DONE; }

case "$*" in
  "") if current; then exit; fi ;;
  --check)
    if current; then PYTHON=.venv/bin/python; fi
    exec bash local/check.sh "$PYTHON"
    ;;
  --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit ;;
  *) fail "unknown option $*; see ./install.sh --help" ;;
esac

command -v "$PYTHON" >/dev/null || fail "no $PYTHON on PATH; install Python 3.10 or newer, or name one: PYTHON=/path/to/python3 ./install.sh"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "Python 3.10 or newer is needed, $PYTHON is $("$PYTHON" -V 2>&1); name a newer one: PYTHON=python3.13 ./install.sh"

echo "==> Installing the tools into .venv" >&2
# On a terminal the seconds count up meanwhile; whatever is said next overwrites them.
if [ -t 2 ]; then while sleep 1 && kill -0 $$ 2>/dev/null; do printf '\r%3d s\r' $SECONDS >&2; done </dev/null >/dev/null & fi
trap 'rm -rf .venv' EXIT
rm -rf .venv
uv=uv
# A uv too old to know relocatable environments is as good as none: the pinned one comes first, into .venv.
if ! uv venv --relocatable --help >/dev/null 2>&1; then
  "$PYTHON" -m venv .venv/bootstrap >/dev/null ||
    fail "$PYTHON has no working venv module; on Debian or Ubuntu: sudo apt install python3-venv"
  uv=.venv/bootstrap/bin/uv
  .venv/bootstrap/bin/pip install --quiet --disable-pip-version-check "$(grep '^uv==' requirements.txt)" ||
    fail "could not download uv; check the network (or the proxy: HTTPS_PROXY), then run ./install.sh again"
fi
"$uv" venv --quiet --allow-existing --relocatable --python "$(command -v "$PYTHON")" .venv ||
  fail "uv could not build .venv with $PYTHON; name another one: PYTHON=/path/to/python3 ./install.sh"
"$uv" pip install --quiet --python .venv/bin/python --requirement requirements.txt --requirement local/tests/requirements.txt ||
  fail "could not install the tools; check the network (or the proxy: HTTPS_PROXY), then run ./install.sh again"
rm -rf .venv/bootstrap
# shellcheck disable=SC2086
cat $REQUIREMENTS >$DONE
trap - EXIT
