#!/usr/bin/env bash
# Installs the tools into .tools, and what the function and its tests import into .venv; nothing outside this folder.
#
# Usage: ./install.sh [--check | --tools | --help]
#
# --check  install nothing; show what this machine has and lacks
# --tools  for ./run.sh and ./deploy.sh: it is not an error if .venv cannot be made
# PYTHON   the interpreter that the tools run on, 3.10 or newer (default: python3); .venv has template.yaml's version
set -euo pipefail
cd "$(dirname "$0")"

PYTHON="${PYTHON:-python3}"

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

# Reading a FIFO would block for ever.
for file in template.yaml env.json samconfig.toml requirements.txt {src,tests,local,local/inside}/requirements.txt; do
  if [ -e "$file" ] && [ ! -f "$file" ]; then fail "$file is not a file; replace it with one, or remove it: rm -r $file"; fi
done

# `installed`, written last, holds what a folder was made from: while that is unchanged, the folder can be used.
tools() { [ -x .tools/bin/python ] && [ ! -e .tools.old ] && cat requirements.txt local/requirements.txt local/inside/requirements.txt | cmp -s - .tools/installed; }
venv() { [ -x .venv/bin/python ] && [ ! -e .venv.old ] && needs 2>/dev/null | cmp -s - .venv/installed; }
needs() {
  sed -n 's/.*Runtime[^A-Za-z0-9]*\(python3\.[0-9]*\).*/\1/p' template.yaml | head -n 1
  if [ -e src/requirements.txt ]; then cat src/requirements.txt; else cat src/pyproject.toml src/uv.lock; fi
  cat tests/requirements.txt requirements.txt || true
}

case "$*" in
  "" | --tools) if tools && venv; then exit; fi ;;
  --check)
    if tools; then PYTHON=.tools/bin/python; fi
    exec bash local/check.sh "$PYTHON"
    ;;
  --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit ;;
  *) fail "unknown option $*; see ./install.sh --help" ;;
esac

if tools; then PYTHON=.tools/bin/python; fi
command -v "$PYTHON" >/dev/null || fail "no $PYTHON on PATH; install Python 3.10 or newer, or name one: PYTHON=/path/to/python3 ./install.sh"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "Python 3.10 or newer is needed, $PYTHON is $("$PYTHON" -V 2>&1); name a newer one: PYTHON=python3.13 ./install.sh"
exec "$PYTHON" -m local.install "$@"
