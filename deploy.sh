#!/usr/bin/env bash
# Deploys template.yaml to AWS and prints only the endpoint's URL on stdout: curl "$(./deploy.sh)"
#
# Usage: ./deploy.sh [--verbose] [option of sam deploy]...   build, upload, create or update the stack
#        ./deploy.sh --build [--verbose]                     check the template and build, without credentials
#        ./deploy.sh --no-build [option of sam deploy]...    deploy what --build built
#        ./deploy.sh --delete                                remove the stack, its uploads, and the bucket if empty
#        ./deploy.sh --help
#
# --verbose    show sam's own output
# STACK_NAME   name of the application (default: my-app)
# BUCKET       S3 bucket for the code, created if missing (default: STACK_NAME-ACCOUNT-REGION)
# OUTPUT       stack output that holds the URL (default: MyEndpointUrl)
# AWS_REGION   where to deploy (default: AWS_DEFAULT_REGION, then the region of aws configure)
# AWS_PROFILE  whose credentials to use (default: those of aws configure)
set -euo pipefail
cd "$(dirname "$0")"

export STACK_NAME="${STACK_NAME:-my-app}"
export BUCKET="${BUCKET:-}"
export OUTPUT="${OUTPUT:-MyEndpointUrl}"

# The steps. Each line runs sam or a command of local/deploying; account sets $BUCKET if it is empty.
# shellcheck disable=SC2016
{
  check='
    check template.yaml'
  account='
    account
    prepare'
  build='
    ==> Building
    sam build --beta-features --template-file template.yaml --build-dir .aws-sam/build'
  deploy='
    tidy .aws-sam/build/template.yaml
    bucket
    ==> Uploading to s3://$BUCKET/$STACK_NAME, and deploying
    sam deploy --template-file .aws-sam/build/template.yaml --stack-name $STACK_NAME --capabilities CAPABILITY_IAM \
      --s3-bucket $BUCKET --s3-prefix $STACK_NAME --no-confirm-changeset --no-fail-on-empty-changeset
    url $OUTPUT'
  remove='
    account
    remove'
}

steps="$check$account$build$deploy"
case "${1:-}" in
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit ;;
  --build) steps="$check$build" && shift ;;
  --no-build) steps="$account$deploy" && shift ;;
  --delete) steps="$remove" && shift ;;
  -* | "") ;;
  *)
    echo "deploy.sh: \"$1\" is not an option; for a stack of another name: STACK_NAME=$STACK_NAME-prod ./deploy.sh," \
      "to remove one: ./deploy.sh --delete" >&2
    exit 1
    ;;
esac

# Without credentials, since a package may run its own code while it is installed.
# shellcheck disable=SC2086
(unset ${!AWS_*} ${!ACTIONS_ID_*} && ./install.sh --tools)
export PATH="$PWD/.tools/bin:$PATH"
# So that nothing can prompt.
exec .tools/bin/python -m local.deploying "$steps" "$@" </dev/null
