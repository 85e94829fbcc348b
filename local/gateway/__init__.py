"""API Gateway, without I/O: which route a request takes, the event it becomes, and the response to an answer.

Everything here is a function of plain values (`local.gateway.model`): no clock, no socket, no template file.
"""
