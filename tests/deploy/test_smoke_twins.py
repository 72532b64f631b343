# SPDX-License-Identifier: MIT
"""scripts/smoke_and_checks.ps1 is the twin of smoke_and_checks.sh: the same checks in
the same order, requests, bodies, variables, artifacts, accepted answers, warnings,
failures and exit codes. There is no PowerShell here to run it, so it is also parsed
with a grammar, and what its functions must not do is looked for."""
import re

import pytest
import tree_sitter
import tree_sitter_powershell

import harness

SH = harness.ROOT / "scripts" / "smoke_and_checks.sh"
PS1 = harness.ROOT / "scripts" / "smoke_and_checks.ps1"

def without_comments(text):
    text = re.sub(r"<#.*?#>", "", text, flags=re.S)
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def plain(text):
    """A message with its variables, of either language, as …."""
    text = re.sub(r"\$\(\([^)]*\)\)|\$\{[^}]*\}|\$(?:script:)?\w+|\$\([^)]*\)", "…", text)
    return text.replace('\\"', '"')


def facts_of_sh(text):
    code = without_comments(text)
    return {
        "steps": re.findall(r'log "(\d\. [a-z]+)', code),
        "order": re.findall(r"^check_([a-z]+)$", code, re.M),
        "requests": [(m, plain(p), f) for m, p, f in re.findall(
            r'(?:request|authorized) (GET|POST) "?([^" ]+)"? (\w+\.\w+)', code)],
        "artifacts": set(re.findall(r"\b(\w+\.(?:json|txt))\b", code)),
        "codes": set(re.findall(r"^ *exit (\d)$", code, re.M)),
        "variables": {v for v in re.findall(r"^# +([A-Z][A-Z_]+) ", text, re.M) if "${" + v + ":-" in code},
        "failures": {plain(m) for m in re.findall(r'log "FAILED: ([^\n]*)"$', code, re.M)},
        "warnings": {plain(m) for m in re.findall(r'warn "([^\n]*)"', code)},
        "accepted": set(re.findall(r"^ *(\d{3}(?: \| \d{3})*)\)", code, re.M)),
        "bodies": {re.sub(r"%s", "…", b) for b in re.findall(r"'(\{\"[^']*\})'", code)},
        "states": set(re.findall(r"^ *(credited|unmatched|conflict)(?::.*)?\)", code, re.M)),
        "header": set(re.findall(r"X-[\w-]+: sha256=", code)),
    }


def facts_of_ps1(text):
    code = without_comments(text)
    bodies = set()
    for line in code.splitlines():
        if "tx_hash" in line:
            bodies.add(re.sub(r"' \+ \$\w+ \+ '", "…", line.split("= ", 1)[1].strip("'")))
        bodies |= set(re.findall(r"'(\{\"telegram[^']*\})'", line))
    numbers = re.findall(r"if \(((?:\d{3}, )+\d{3}) -contains", code)
    return {
        "steps": re.findall(r"""Write-Log ['"](\d\. [a-z]+)""", code),
        "order": [name.lower() for name in
                  re.findall(r"Test-(\w+)", code[code.index("function Invoke-Checks"):code.index("Write-Log \"Smoke")])],
        "requests": [(m, plain(p), f) for m, p, f in re.findall(
            r"""Invoke-Request '(GET|POST)' ['"]([^'"]+)['"] '(\w+\.\w+)'""", code)],
        "artifacts": set(re.findall(r"'(\w+\.(?:json|txt))'", code)),
        "codes": set(re.findall(r"return ([2-9]) ", code)),
        "variables": set(re.findall(r"\$env:([A-Z_]+)", code)),
        "failures": {plain(m) for m in re.findall(r'Write-Log "FAILED: ([^\n]*)"$', code, re.M)},
        "warnings": {plain(m) for m in re.findall(r"""Write-Warn ['"]([^\n]*)['"]$""", code, re.M)},
        "accepted": {n.replace(", ", " | ") for n in numbers} | set(re.findall(r"-eq (200)\b", code)),
        "bodies": bodies,
        "states": set(re.findall(r"-eq '(credited|unmatched|conflict)'", code)),
        "header": {f"{h}: sha256=" for h in re.findall(r"headers\['(X-[\w-]+)'\] = 'sha256='", code)},
    }


NAMES = ("steps", "order", "requests", "artifacts", "codes", "variables", "failures", "warnings",
         "accepted", "bodies", "states", "header")


@pytest.mark.parametrize("name", NAMES)
def test_the_twins_agree(name):
    ours, twin = facts_of_sh(SH.read_text())[name], facts_of_ps1(PS1.read_text())[name]
    assert ours and ours == twin


def test_the_facts_are_the_expected_ones():
    """Lest both lists be short in the same way."""
    facts = facts_of_ps1(PS1.read_text())
    assert facts["order"] == ["health", "register", "webhook", "processing", "transactions", "metrics"]
    assert facts["codes"] == {"2", "3", "4"}
    assert facts["artifacts"] >= {"health.json", "register_resp.json", "webhook_resp.json",
                                  "transactions.json", "metrics.txt"}
    assert len(facts["requests"]) == 6 and len(facts["failures"]) == 3


@pytest.mark.parametrize("old, new, name", [
    ("'health.json'", "'health.txt'", "artifacts"),
    ("return 4 ", "return 5 ", "codes"),
    ("200, 201, 409 -contains", "200, 201 -contains", "accepted"),
    ("$env:API_TOKEN", "$env:TOKEN", "variables"),
    ('"confirmations":12', '"confirmations":1', "bodies"),
    ("    Test-Metrics\n", "", "order"),
    ("'X-Signature'", "'X-Sig'", "header"),
])
def test_a_difference_is_found(old, new, name):
    text = PS1.read_text()
    assert old in text
    assert facts_of_ps1(text.replace(old, new))[name] != facts_of_sh(SH.read_text())[name]


def syntax_errors(text):
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    found, todo = [], [parser.parse(text.encode()).root_node]
    while todo:
        node = todo.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append((node.start_point[0] + 1, node.text[:40]))
        todo += node.children
    return found


def test_it_parses():
    assert syntax_errors(PS1.read_text()) == []


@pytest.mark.parametrize("old, new", [("exit $code", "exit $code }"), ("'GET' '/metrics'", "'GET' '/metrics"),
                                      ("-ne 200) {", "-nee 200 {")])
def test_it_would_not_parse(old, new):
    assert syntax_errors(PS1.read_text().replace(old, new, 1))


def test_what_it_calls_exists():
    """A mistyped name is no error to a grammar."""
    text = without_comments(PS1.read_text())
    own = set(re.findall(r"^function ([\w-]+)", text, re.M))
    known = {"Set-StrictMode", "Add-Type", "New-Item", "New-Object", "Write-Host", "Add-Content",
             "Join-Path", "Test-Path", "ConvertFrom-Json", "Write-Verbose", "Start-Sleep",
             "Where-Object", "Get-ChildItem"}
    called = set(re.findall(r"(?<![\w'-])([A-Z][a-z]+-[A-Z]\w+)", re.sub(r"'X-\w+'", "", text)))
    assert called - own - known == set()
    assert own == {"Write-Log", "Write-Warn"} | {n for n in own if re.match(r"(Get|Test|Invoke)-", n)}
    assigned = set(re.findall(r"\$(?:script:)?(\w+)(?=\s*(?:=|\+=|,|\)| in ))", text)) | \
        set(re.findall(r"\[\w+\]\$(\w+)", text))
    used = set(re.findall(r"\$(?:script:)?\{?(\w+)", text)) - {"env", "true", "false", "_", "script"}
    assert {u.lower() for u in used} <= {a.lower() for a in assigned}, used - assigned
    # Output of a function is its value: only Write-Host may show something.
    assert "Write-Output" not in text and "echo " not in text
