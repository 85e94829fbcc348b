#!/usr/bin/env bash
# Serves the API of template.yaml at http://127.0.0.1:3000, in containers, or without if no container engine is running.
#
# Usage: ./run.sh [option below]... [option of sam local start-api]...
#        ./run.sh [option below]... invoke | start-lambda [option of that sam local command]...
#        ./run.sh generate-event [option of sam local generate-event]...
#        ./run.sh --sam [option of sam local start-api]...   SAM CLI alone, which needs a container engine
#        ./run.sh --help
#
# --no-docker          use no containers, even if a container engine is running
# --platform-log       also print Lambda's START, END and REPORT lines; containers always do
# --stack NAME         give functions the names of the tables, queues and so on in this deployed stack
# --record DIRECTORY   write each request's event and the function's answer to a file there
# --api-key KEY        a valid key where the API requires one (default: any key is valid; may be repeated)
# --port, --host, --profile, --debug-port and more of SAM CLI's: ./run.sh start-api --help
# env.json             environment variables for this machine, if it exists (see env.json.example)
# AWS_ENDPOINT_URL     an emulated AWS on this machine for functions to call (also AWS_ENDPOINT_URL_DYNAMODB, ...)
# AWS_REGION           the functions' region (default: AWS_DEFAULT_REGION, then the profile's, then us-east-1)
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
# So that an unfinished handler cannot touch a real account, no process that it can inspect has these.
for name in "${!AWS_@}"; do
  case "$name" in
    *KEY* | *SECRET* | *TOKEN* | *_URI) unset "$name" ;;
  esac
done
exec .tools/bin/python -m local "$@"
