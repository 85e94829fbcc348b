"""Reads, when it is imported, what every ./deploy.sh would: cfn-lint's rules and schemas, AWS's models, SAM's policies.

Each run is a fork that starts with what has been read here, and ends after one deployment.
"""

import logging
import os
from functools import cache
from pathlib import Path

import aws_lambda_builders.workflows  # noqa: F401
import boto3
import botocore.session
import cfnlint.helpers
from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner
from samcli.lib.deploy.deployer import Deployer
from samtranslator.translator import translator

logging.getLogger("cfnlint").setLevel(logging.WARNING)  # it is asked before SAM CLI sets logging up
template = ConfigMixIn(["--template", str(Path(__file__).parents[1] / "project" / "template.yaml")])
list(Runner(template).run())
cfnlint.helpers.load_plugins = cache(cfnlint.helpers.load_plugins)
Runner(template)  # loads rules, which each fork uses once

botocore.session.create_loader = cache(botocore.session.create_loader)
for service in ("sts", "s3", "cloudformation", "lambda"):
    boto3.client(service, region_name="us-east-1")
boto3.resource("s3", region_name="us-east-1")
boto3.DEFAULT_SESSION = None

translator.make_policy_template_for_function_plugin = cache(translator.make_policy_template_for_function_plugin)
translator.make_policy_template_for_function_plugin()

# SAM CLI names change sets by the second, which is too long for two deployments here.
Deployer.changeset_prefix = property(lambda self: f"samcli-deploy-{os.getpid()}-", lambda self, prefix: None)
