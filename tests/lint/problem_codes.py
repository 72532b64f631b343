#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The errors' codes: docs/api.md's table lists those that the sources have, each
with the status that it comes with.

--self-test shows that a missing, a stale and a wrong row are found.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A status's own code: {404, "Not Found", "not_found"}.
OF_STATUS = re.compile(r'\{(\d{3}), "[^"]+", "(\w+)"\}')
# http_problem_code(response, request, 403, "scope", …)
CALL = re.compile(r'http_problem_code\(\s*&?\w+,\s*&?\w+,\s*(\d{3}),\s*"(\w+)"')
# http_unavailable_code(response, request, "outcome_unknown", …): always 503
UNAVAILABLE = re.compile(r'http_unavailable_code\(\s*&?\w+,\s*&?\w+,\s*()"(\w+)"')
# struct http_problem problem = {409, "user_taken", …}; {.status = 409, .code = "user_taken"};
# (struct http_problem){409, "user_taken", …}
STRUCT = re.compile(r'struct http_problem(?: \w+ = |\))\{\s*(?:\.status = )?(\d{3}),\s*(?:\.code = )?"(\w+)"')
# refuse(request, response, 404, "unknown_source", …) of the webhooks
REFUSE = re.compile(r'\brefuse\(\s*request,\s*response,\s*(\d{3}),\s*"(\w+)"')
ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \|", re.M)


def in_sources(texts):
    found = set()
    for text in texts:
        for pattern in (OF_STATUS, CALL, UNAVAILABLE, STRUCT, REFUSE):
            found |= {(code, int(status or 503)) for status, code in pattern.findall(text)}
    return found


def in_document(text):
    rows = [(code, int(status)) for code, status in ROW.findall(text)]
    return set(rows), len(rows) - len(set(rows))


def compare(texts, document):
    sources = in_sources(texts)
    rows, twice = in_document(document)
    wrong = [f"docs/api.md has no row for `{code}` ({status})" for code, status in sorted(sources - rows)]
    wrong += [f"docs/api.md lists `{code}` ({status}), which no source has" for code, status in sorted(rows - sources)]
    if twice:
        wrong.append("docs/api.md lists a code twice")
    return wrong


def self_test():
    good = ['{404, "Not Found", "not_found"},', 'http_problem_code(response, request, 403, "scope",\n "x", NULL);',
            'struct http_problem problem = {409, "user_taken", "x", NULL};']
    rows = "| `not_found` | 404 | x |\n| `scope` | 403 | x |\n| `user_taken` | 409 | x |\n"
    assert compare(good, rows) == []
    other = ['refuse(request, response, 404,\n "unknown_source", "x");',
             '(struct http_problem){\n409, "event_reused", "x"};']
    assert in_sources(other) == {("unknown_source", 404), ("event_reused", 409)}
    assert len(compare(good, rows.replace("scope", "scopes"))) == 2
    assert len(compare(good, rows.replace("403", "401"))) == 2
    assert len(compare(good[:2], rows)) == 1
    assert len(compare(good, rows + rows)) == 1
    away = ['http_unavailable_code(response, request,\n "gone", "x");']
    assert compare(away, "| `gone` | 503 | x |\n") == [] and len(compare(away, "")) == 1


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    files = [*(ROOT / "api").rglob("*.c"), *(ROOT / "common/http").glob("*.c")]
    wrong = compare([path.read_text() for path in files], (ROOT / "docs/api.md").read_text())
    for line in wrong:
        print(line)
    return 1 if wrong else 0


sys.exit(main())
