# SPDX-License-Identifier: MIT
<#
.SYNOPSIS
Smoke test of a running deployment: health, registration, a webhook, its credit, the
transactions, the metrics. The twin of smoke_and_checks.sh: the same checks, variables,
artifacts and exit codes.

.DESCRIPTION
For PowerShell 5.1 and 7. This repository's tests compare it with its twin and parse
it; they have no PowerShell to run it.

Variables of the environment, as for the twin:
  STAGING_HOST    where it runs (default http://localhost:8000)
  ARTIFACT_DIR    where the answers are kept (default artifacts/smoke_<UTC>)
  WEBHOOK_SECRET  signs the webhook when set (of several, the first)
  API_TOKEN       for the transactions and the look at the deposit (ditto)
  SMOKE_TIMEOUT   seconds that the deposit may take (default 60)
Exit status: 0 all well; 2 health failed; 3 the webhook failed; 4 the deposit was not
credited. Registration, transactions and metrics only warn.

.PARAMETER StagingHost
Instead of STAGING_HOST.

.PARAMETER ArtifactDir
Instead of ARTIFACT_DIR.

.EXAMPLE
.\scripts\smoke_and_checks.ps1 -StagingHost https://api.cricalgo-staging.example.com
#>
[CmdletBinding()]
param(
    [string]$StagingHost = $env:STAGING_HOST,
    [string]$ArtifactDir = $env:ARTIFACT_DIR
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Add-Type -AssemblyName System.Net.Http
[Net.ServicePointManager]::SecurityProtocol =
    [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

function Get-First([string]$Text) {
    # The first of several, comma-separated; empty when there is none.
    return ([string]$Text).Split(',')[0].Trim()
}

function Get-Number([string]$Text, [int]$Default) {
    if ([string]::IsNullOrEmpty($Text)) { return $Default }
    return [int]$Text
}

if ([string]::IsNullOrEmpty($StagingHost)) { $StagingHost = 'http://localhost:8000' }
$StagingHost = $StagingHost.TrimEnd('/')
if ([string]::IsNullOrEmpty($ArtifactDir)) {
    $ArtifactDir = 'artifacts/smoke_' + [DateTime]::UtcNow.ToString('yyyyMMddTHHmmssZ')
}
$SmokeTimeout = Get-Number $env:SMOKE_TIMEOUT 60
$Secret = Get-First $env:WEBHOOK_SECRET
# NAME:SCOPES:TOKEN, or the token alone.
$Token = (Get-First $env:API_TOKEN).Split(':')[-1]
$script:UserId = ''
$script:TxId = ''
$script:Warnings = 0
# The methods of .NET have a working folder of their own: a full name.
$ArtifactDir = (New-Item -ItemType Directory -Force -Path $ArtifactDir).FullName
$Client = New-Object System.Net.Http.HttpClient
$Client.Timeout = [TimeSpan]::FromSeconds(30)

function Write-Log([string]$Text) {
    Write-Host ('[{0}] {1}' -f [DateTime]::UtcNow.ToString('HH:mm:ss'), $Text)
}

function Write-Warn([string]$Text) {
    $script:Warnings += 1
    Write-Log "WARNING: $Text"
}

# The status of a request, 0 when there was no answer. The body goes to the file. An
# answer such as 409 is an answer, not an exception, which is why this is not
# Invoke-WebRequest.
function Invoke-Request([string]$Method, [string]$Path, [string]$File, [string]$Body = '', [hashtable]$Headers = @{}) {
    $request = New-Object System.Net.Http.HttpRequestMessage (New-Object System.Net.Http.HttpMethod $Method), ($StagingHost + $Path)
    foreach ($name in $Headers.Keys) {
        [void]$request.Headers.TryAddWithoutValidation($name, [string]$Headers[$name])
    }
    if ($Body -ne '') {
        $request.Content = New-Object System.Net.Http.StringContent $Body, ([Text.Encoding]::UTF8), 'application/json'
    }
    try {
        $response = $Client.SendAsync($request).GetAwaiter().GetResult()
        $bytes = $response.Content.ReadAsByteArrayAsync().GetAwaiter().GetResult()
        [IO.File]::WriteAllBytes((Join-Path $ArtifactDir $File), $bytes)
        return [int]$response.StatusCode
    } catch {
        Add-Content -Path (Join-Path $ArtifactDir 'curl_errors.txt') -Value "$Method ${Path}: $($_.Exception.Message)"
        return 0
    }
}

function Get-Authorization {
    if ($Token -eq '') { return @{} }
    return @{ Authorization = "Bearer $Token" }
}

# A text member of a JSON object in a file; empty when there is none.
function Get-JsonText([string]$File, [string]$Name) {
    $path = Join-Path $ArtifactDir $File
    if (-not (Test-Path $path)) { return '' }
    try {
        $object = ConvertFrom-Json ([IO.File]::ReadAllText($path))
        if ($object.PSObject.Properties.Name -contains $Name) { return [string]$object.$Name }
    } catch {
        Write-Verbose "$File is no JSON object"
    }
    return ''
}

function Get-Hmac([string]$Text) {
    $hmac = New-Object System.Security.Cryptography.HMACSHA256
    $hmac.Key = [Text.Encoding]::UTF8.GetBytes($Secret)
    $digest = $hmac.ComputeHash([Text.Encoding]::UTF8.GetBytes($Text))
    return [BitConverter]::ToString($digest).Replace('-', '').ToLowerInvariant()
}

function Test-Health {
    Write-Log '1. health'
    $status = Invoke-Request 'GET' '/api/v1/health' 'health.json'
    if ($status -ne 200) {
        Write-Log "FAILED: GET /api/v1/health answered $status, expected 200"
        return $false
    }
    Write-Log ('   ' + [IO.File]::ReadAllText((Join-Path $ArtifactDir 'health.json')))
    return $true
}

function Test-Register {
    Write-Log '2. registration'
    $status = Invoke-Request 'POST' '/api/v1/auth/register' 'register_resp.json' '{"telegram_id":999999999,"username":"smoke_test_user"}' (Get-Authorization)
    if (200, 201, 409 -contains $status) {
        $script:UserId = Get-JsonText 'register_resp.json' 'user_id'
        $known = if ($script:UserId -ne '') { $script:UserId } else { 'unknown' }
        Write-Log "   $status, user $known"
    } else {
        Write-Warn "POST /api/v1/auth/register answered $status, expected 200, 201 or 409"
    }
}

function Test-Webhook {
    Write-Log '3. webhook'
    $user = ''
    if ($script:UserId -ne '') { $user = ',"user_id":"' + $script:UserId + '"' }
    $seconds = [DateTimeOffset]::UtcNow.ToUnixTimeSeconds()
    $random = [Guid]::NewGuid().ToString('N').Substring(0, 8)
    $body = '{"tx_hash":"smoke-' + $seconds + '-' + $random + '","amount":"0.001","confirmations":12' + $user + ',"metadata":{"note":"smoke_test"}}'
    $headers = @{}
    if ($Secret -ne '') { $headers['X-Signature'] = 'sha256=' + (Get-Hmac $body) }
    $status = Invoke-Request 'POST' '/api/v1/webhooks/bep20' 'webhook_resp.json' $body $headers
    $script:TxId = Get-JsonText 'webhook_resp.json' 'tx_id'
    if ($status -ne 202 -or $script:TxId -eq '') {
        Write-Log "FAILED: POST /api/v1/webhooks/bep20 answered $status, expected 202 with a tx_id"
        return $false
    }
    Write-Log "   202, deposit $script:TxId"
    return $true
}

function Test-Processing {
    Write-Log "4. credit, within $SmokeTimeout s"
    $deadline = [DateTime]::UtcNow.AddSeconds($SmokeTimeout)
    $state = ''
    while ($true) {
        $status = Invoke-Request 'GET' "/api/v1/transactions/$script:TxId" 'transaction.json' '' (Get-Authorization)
        if ($status -eq 200) { $state = Get-JsonText 'transaction.json' 'state' }
        if (401, 403 -contains $status) {
            Write-Warn "GET /api/v1/transactions/$script:TxId answered ${status}: without API_TOKEN the credit is not checked"
            return $true
        }
        if ($state -eq 'credited') { break }
        if ($state -eq 'unmatched' -and $script:UserId -eq '') { break }
        if ([DateTime]::UtcNow -ge $deadline) { break }
        Start-Sleep -Milliseconds 500
    }
    if ($state -eq 'credited') {
        Write-Log '   credited'
        return $true
    }
    if ($state -eq 'unmatched' -and $script:UserId -eq '') {
        Write-Warn 'the deposit is unmatched: there was no user to credit'
        return $true
    }
    $shown = if ($state -ne '') { $state } else { 'unknown' }
    Write-Log "FAILED: after $SmokeTimeout s deposit $script:TxId is '$shown' (answer $status), not credited"
    return $false
}

function Test-Transactions {
    Write-Log '5. transactions'
    $status = Invoke-Request 'GET' '/api/v1/transactions' 'transactions.json' '' (Get-Authorization)
    if ($status -ne 200) {
        Write-Warn "GET /api/v1/transactions answered $status, expected 200"
        return
    }
    $text = [IO.File]::ReadAllText((Join-Path $ArtifactDir 'transactions.json'))
    $count = [regex]::Matches($text, '"tx_id"').Count
    Write-Log "   $count on the first page"
}

function Test-Metrics {
    Write-Log '6. metrics'
    $status = Invoke-Request 'GET' '/metrics' 'metrics.txt'
    if ($status -eq 404) {
        Write-Log '   none at this address: METRICS_PORT has them'
        return
    }
    if ($status -ne 200) {
        Write-Warn "GET /metrics answered $status, expected 200"
        return
    }
    $lines = [IO.File]::ReadAllLines((Join-Path $ArtifactDir 'metrics.txt'))
    foreach ($name in 'http_requests_total', 'celery_task') {
        $count = @($lines | Where-Object { $_.Contains($name) }).Count
        Write-Log "   $count lines with $name"
    }
}

function Invoke-Checks {
    if (-not (Test-Health)) { return 2 }
    Test-Register
    if (-not (Test-Webhook)) { return 3 }
    if (-not (Test-Processing)) { return 4 }
    Test-Transactions
    Test-Metrics
    return 0
}

Write-Log "Smoke test of $StagingHost"
$code = Invoke-Checks
Write-Log "Artifacts in ${ArtifactDir}:"
foreach ($file in Get-ChildItem $ArtifactDir -File) {
    if ($file.Length -gt 0) { Write-Log "   $($file.Name)" }
}
if ($code -eq 0) {
    Write-Log "Smoke test passed, $script:Warnings warnings"
} else {
    Write-Log "Smoke test FAILED with status $code, $script:Warnings warnings"
}
exit $code
