// SPDX-License-Identifier: MIT
//
// Load test of the webhook: each virtual user asks for health, posts one webhook,
// pauses. From the repository's root:
//
//   k6 run k6/webhook_test.js                          100 users, 5 minutes
//   k6 run --vus 20 --duration 1m k6/webhook_test.js   light
//
// Variables (--env NAME=value, or the environment):
//   STAGING_HOST    http://localhost:8000
//   VUS, DURATION   100, 5m; --vus and --duration win
//   WEBHOOK_SECRET  signs the webhooks; none, or your-webhook-secret-key: unsigned
//   TEST_RUN        default; goes into every webhook's metadata
//   API_TOKEN       to read the wallet at the end; without it credits are checked
//                   only where the API lets this machine read
//   CHECK_CREDITED  0: name no user and check no credit, as the original did
//   SETTLE_SECONDS  60; what the worker gets at the end
//   ARTIFACT_DIR    artifacts; must exist
//
// Writes k6_summary.json and k6_long.txt; ends with 99 when a threshold fails.
// Never run with k6 in this repository's tests, see tests/deploy/k6run/README.md.
import {
  artifacts,
  closeUser,
  health,
  newUser,
  pause,
  THRESHOLDS,
  TREND_STATS,
  webhook,
} from './lib/deposits.js';

/** @type {import("k6/options").Options} */
export const options = {
  vus: Number(__ENV.VUS || 100),
  duration: __ENV.DURATION || '5m',
  thresholds: THRESHOLDS,
  summaryTrendStats: TREND_STATS,
  teardownTimeout: '5m',
};

export function setup() {
  return newUser();
}

/** @param {{user: string | null}} data */
export default function (data) {
  health();
  const response = webhook(data);
  if (__ITER < 3 && __VU === 1) {
    console.log(`iteration ${__ITER}: ${response.status} in ${response.timings.duration} ms`);
  }
  pause();
}

/** @param {{user: string | null}} data */
export function teardown(data) {
  closeUser(data);
}

/** @param {any} data */
export function handleSummary(data) {
  return artifacts(data, 'Webhook load test', 'k6');
}
