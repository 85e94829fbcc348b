#!/usr/bin/env bash
# What this machine has and lacks, one line each, for ./install.sh --check. Needs nothing installed.
#
# Usage: local/check.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON="$1"
PORT=3000
works=yes

line() { printf '%-8s %-17s %s\n' "$1" "$2" "$3"; }

# macOS has no timeout(1), and the client of an engine that hangs would wait for ever.
within_3_seconds() (
  exec >/dev/null 2>&1
  "$@" &
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    kill -0 $! || break
    sleep 0.2
  done
  kill -9 $!
  wait $!
)

# Prints what follows `key =` in the current profile's section of an AWS file; keys are separated by |.
of_profile() {
  awk -v profile="${AWS_PROFILE:-default}" -v keys="^($2)\$" -F '[ \t]*=[ \t]*' '
    /^\[/ { gsub(/^\[(profile[ \t]+)?|\].*$/, ""); mine = $0 == profile }
    mine && $1 ~ keys { print $2; exit }' "$1" 2>/dev/null || true
}
config="${AWS_CONFIG_FILE:-${HOME:-}/.aws/config}"
credentials="${AWS_SHARED_CREDENTIALS_FILE:-${HOME:-}/.aws/credentials}"

version="$("$PYTHON" -V 2>&1)" || version="no $PYTHON on PATH"
if "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  line ok Python "$version, runs the tools"
else
  line missing Python "3.10 or newer is needed for the tools, found: $version. From https://www.python.org/downloads or PYTHON=/path/to/python3"
  works=no
fi

if [ "$PYTHON" = .tools/bin/python ]; then
  line ok uv "the tools are installed in .tools"
elif command -v uv >/dev/null; then
  line ok uv "$(uv --version), installs the tools"
elif "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
  line ok uv "installs the tools; not on PATH, so ./install.sh fetches it into .tools"
else
  line missing uv "or Python's venv module is needed to install the tools. From https://docs.astral.sh/uv or: sudo apt install python3-venv"
  works=no
fi

if within_3_seconds docker version || within_3_seconds finch version; then
  line ok "container engine" "answers; ./run.sh runs the function in Lambda's own image"
elif [ "$(uname -s)" = Linux ]; then
  line optional "container engine" "none answers, so ./run.sh needs no containers. Docker: https://docs.docker.com/engine/install"
else
  line missing "container engine" "none answers, and ./run.sh needs one here. Docker: https://docs.docker.com/get-started/get-docker"
  works=no
fi

if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
  line taken "port $PORT" "another program answers there. Stop it, or: ./run.sh --port 3001"
else
  line ok "port $PORT" "free for ./run.sh"
fi

if [ -n "${AWS_ACCESS_KEY_ID:-}${AWS_WEB_IDENTITY_TOKEN_FILE:-}${AWS_CONTAINER_CREDENTIALS_FULL_URI:-}${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI:-}" ] ||
  [ -n "$(of_profile "$credentials" aws_access_key_id)" ] ||
  [ -n "$(of_profile "$config" 'aws_access_key_id|credential_process|login_session|role_arn|sso_account_id')" ]; then
  line ok "AWS credentials" "found; ./deploy.sh checks whether they are valid"
else
  line missing "AWS credentials" "only ./deploy.sh needs them. After ./install.sh: .venv/bin/aws configure"
fi

region="${AWS_REGION:-${AWS_DEFAULT_REGION:-$(of_profile "$config" region)}}"
if [ -n "$region" ]; then
  line ok "AWS region" "$region, where ./deploy.sh deploys"
else
  line missing "AWS region" "only ./deploy.sh needs it. After ./install.sh: .venv/bin/aws configure set region eu-west-1"
fi

if [ $works = no ]; then
  echo "./run.sh cannot work here yet."
  exit 1
fi
echo "./run.sh can work here."
