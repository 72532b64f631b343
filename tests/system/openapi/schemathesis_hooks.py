# SPDX-License-Identifier: MIT
"""Hooks of schemathesis, named by SCHEMATHESIS_HOOKS: what a schema cannot say about a
request. The webhooks' secret is in CRICALGO_SECRET."""

import hashlib
import hmac
import os

import requests
import schemathesis

SECRET = os.environ["CRICALGO_SECRET"].encode()
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
INTEGERS = ("confirmations", "log_index", "block_number", "countdown", "telegram_id")


@schemathesis.hook
def filter_case(context, case):
    """A method that the server does not know is refused before any path is looked at."""
    return case.method in METHODS


@schemathesis.hook
def before_call(context, case, kwargs):
    """JSON Schema counts 1.0 as an integer, we do not; and a webhook's chain is its
    path's. A body is replaced only where it has to be: of one that is, schemathesis no
    longer knows whether it is valid."""
    if "{chain}" in case.operation.path and isinstance(case.path_parameters, dict):
        case.path_parameters["chain"] = "bep20"  # which chains there are is a setting
    if not isinstance(case.body, dict):
        return
    body = {k: int(v) if k in INTEGERS and isinstance(v, float) and v.is_integer() else v
            for k, v in case.body.items() if not (k == "chain" and isinstance(v, str))}
    if repr(body) != repr(case.body):
        case.body = body


class Signature(requests.auth.AuthBase):
    """Over the bytes that are sent."""

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        request.headers["X-Signature"] = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        return request


schemathesis.auth.set_from_requests(Signature()).apply_to(path_regex="^/api/v1/webhooks?/.chain")
