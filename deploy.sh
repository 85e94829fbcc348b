#!/usr/bin/env bash
# Deploys template.yaml to AWS and prints the URL of the endpoint, alone on stdout: curl "$(./deploy.sh)"
#
# Usage: ./deploy.sh [option of sam deploy]...   build, upload, create or update the stack
#        ./deploy.sh --delete                    remove the stack, what was uploaded for it, and the bucket if empty
#        ./deploy.sh --help
#
# STACK_NAME   name of the application (default: my-app)
# BUCKET       S3 bucket for the code, made when missing (default: STACK_NAME-ACCOUNT-REGION)
# AWS_REGION   where to deploy (default: AWS_DEFAULT_REGION, then the region of aws configure)
# AWS_PROFILE  whose credentials to use (default: those of aws configure)
set -euo pipefail
cd "$(dirname "$0")"

STACK_NAME="${STACK_NAME:-my-app}"
BUCKET="${BUCKET:-}"
OUTPUT="${OUTPUT:-MyEndpointUrl}"
BUILT=.aws-sam/build/template.yaml
PACKAGED=.aws-sam/build/packaged.yaml
LOG=.aws-sam/deploy.log

fail() {
  echo "deploy.sh: $1" >&2
  exit 1
}

# What a step prints is shown only when it fails.
quietly() {
  "$@" >$LOG 2>&1 || {
    cat $LOG
    fail "$1 $2 failed; what it said is above"
  }
}

if [ "${1:-}" = --help ]; then
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  exit
fi
case "$STACK_NAME" in
  *[!a-zA-Z0-9-]* | [!a-zA-Z]*) fail "the STACK_NAME $STACK_NAME is not made of letters, digits and hyphens, a letter first" ;;
esac
[ "${1:-}" != --delete ] || [ $# -eq 1 ] || fail "--delete takes no option; see ./deploy.sh --help"
case " $*" in
  *" --stack-name"* | *" --s3-"* | *" --region"* | *" --profile"*)
    fail "set STACK_NAME, BUCKET, AWS_REGION or AWS_PROFILE instead; see ./deploy.sh --help"
    ;;
esac

# Only the URL goes to stdout, and nothing can ask a question.
exec 3>&1 1>&2 </dev/null
./install.sh --tools
export PATH="$PWD/.tools/bin:$PATH" SAM_CLI_TELEMETRY=0
mkdir -p .aws-sam

region="${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}"
[ -n "$region" ] || fail "no region is set; run: .venv/bin/aws configure set region us-east-1, or: AWS_REGION=us-east-1 ./deploy.sh"
# SDKs read the one, boto3 and so aws and sam the other.
export AWS_REGION="$region" AWS_DEFAULT_REGION="$region"
if ! account=$(aws sts get-caller-identity --query Account --output text 2>$LOG); then
  case "$(cat $LOG)" in
    *"Unable to locate credentials"*) fail "no AWS credentials were found; run: .venv/bin/aws configure" ;;
    *xpired*) fail "the AWS credentials have expired; get new ones where these came from (aws sso login, say), or enter them with: .venv/bin/aws configure" ;;
    *InvalidClientTokenId* | *SignatureDoesNotMatch*) fail "AWS refuses these credentials; enter them again with: .venv/bin/aws configure" ;;
    *) fail "AWS does not say whose credentials these are; see .venv/bin/aws sts get-caller-identity: $(tr -s '\n' ' ' <$LOG)" ;;
  esac
fi
# S3 allows 63 lowercase characters; two applications that are cut to the same name still have a prefix each.
: "${BUCKET:=$(printf %.35s "$STACK_NAME" | tr '[:upper:]' '[:lower:]')-$account-$region}"
echo "==> Account $account, region $region, stack $STACK_NAME, bucket $BUCKET"

if [ "${1:-}" = --delete ]; then
  python -m local.stack delete "$STACK_NAME"
  python -m local.bucket remove "$BUCKET" "$account" "$STACK_NAME"
  exit
fi

python -m local.bucket prepare "$BUCKET" "$account"
last_event=$(python -m local.stack prepare "$STACK_NAME")

echo "==> Building"
quietly sam build --beta-features --template-file template.yaml --build-dir .aws-sam/build
python -m local.artifact $BUILT

echo "==> Uploading to s3://$BUCKET/$STACK_NAME"
quietly sam package --template-file $BUILT --output-template-file $PACKAGED --s3-bucket "$BUCKET" --s3-prefix "$STACK_NAME"

echo "==> Deploying"
sam deploy --template-file $PACKAGED --stack-name "$STACK_NAME" --s3-bucket "$BUCKET" --s3-prefix "$STACK_NAME" \
  --capabilities CAPABILITY_IAM --no-confirm-changeset --no-fail-on-empty-changeset "$@" ||
  {
    python -m local.stack explain "$STACK_NAME" "$last_event" || true
    exit 1
  }

url=$(aws cloudformation describe-stacks --stack-name "$STACK_NAME" --output text \
  --query "Stacks[0].Outputs[?OutputKey=='$OUTPUT'].OutputValue")
[ -n "$url" ] || fail "the stack has no output $OUTPUT; see Outputs in template.yaml"
echo "==> Deployed; the endpoint:"
echo "$url" >&3
