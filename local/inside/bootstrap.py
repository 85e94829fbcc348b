"""Starts AWS's runtime client for a handler, in the execution environment: python bootstrap.py HANDLER.

The client's own entry point polls for the next invoke in a new thread each time, which on Lambda lets signals through
meanwhile. Nobody sends signals here, and it would cost a third of a request's time.
"""

import os
import sys

from awslambdaric.bootstrap import run
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

# The handler's directory comes first, not this one.
sys.path[0] = os.getcwd()
run(sys.argv[1], LambdaRuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"], False))
