#!/usr/bin/env bash
# Serves the API of template.yaml at http://127.0.0.1:3000, in containers or, where no engine answers, without them.
#
# Usage: ./run.sh [--no-docker] [option of sam local start-api]...
#        ./run.sh [--no-docker] invoke | start-lambda | generate-event [option of that sam local command]...
#        ./run.sh --sam [option of sam local start-api]...   SAM CLI alone, which needs a container engine
#        ./run.sh --help
#
# env.json  environment variables for this machine, if it exists (see env.json.example)
set -euo pipefail
cd "$(dirname "$0")"

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  exit
fi

./install.sh --tools
if [ "${1:-}" = --sam ]; then
  if [ -e env.json ]; then set -- "$@" --env-vars env.json; fi
  exec .tools/bin/sam local start-api --template-file template.yaml "${@:2}"
fi
# An unfinished handler cannot touch a real account: none of these is in any process that it could look into.
for name in "${!AWS_@}"; do
  case "$name" in
    *KEY* | *SECRET* | *TOKEN* | *PROFILE* | *_URI | AWS_ENDPOINT_URL) unset "$name" ;;
  esac
done
exec .tools/bin/python -m local "$@"
