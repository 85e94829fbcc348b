"""A template as CloudFormation and SAM read it: plain values in, plain values out, no I/O and no SAM CLI.

`template` decides conditions and resolves intrinsic functions, `attributes` stands in for what AWS would return for a
resource, `apis` and `openapi` read APIs and their routes.
"""
