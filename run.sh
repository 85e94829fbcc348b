#!/usr/bin/env bash
# Serves the API of template.yaml at http://127.0.0.1:3000, in containers or, where no engine answers, without them.
#
# Usage: ./run.sh [--no-docker] [option of sam local start-api]...
#        ./run.sh [--no-docker] invoke | start-lambda | generate-event [option of that sam local command]...
#        ./run.sh --help
#
# env.json  environment variables for this machine, if it exists (see env.json.example)
set -euo pipefail
cd "$(dirname "$0")"

if [ "${1:-}" = --help ]; then
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  exit
fi

./install.sh --tools
exec .tools/bin/python -m local "$@"
