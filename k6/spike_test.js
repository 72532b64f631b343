// SPDX-License-Identifier: MIT
//
// Spike test: from a few virtual users to many at once and back. While the spike
// lasts answers may be slow; none may fail, the time after it must be as the time
// before, and every deposit must be credited.
//
//   k6 run k6/spike_test.js
//
// Variables: those of webhook_test.js but VUS and DURATION, and
//   BASE_VUS, SPIKE_VUS  10, 400
//   CALM, RISE, HOLD     30s, 10s, 1m: before and after; up and down; at the top
//
// Writes spike_summary.json and spike_long.txt; ends with 99 when a threshold fails.
import exec from 'k6/execution';
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

const BASE = Number(__ENV.BASE_VUS || 10);
const SPIKE = Number(__ENV.SPIKE_VUS || 400);
const CALM = __ENV.CALM || '30s';
const RISE = __ENV.RISE || '10s';
const HOLD = __ENV.HOLD || '1m';

/** @type {import("k6/options").Options} */
export const options = {
  scenarios: {
    spike: {
      executor: 'ramping-vus',
      startVUs: BASE,
      stages: [
        { duration: CALM, target: BASE },
        { duration: RISE, target: SPIKE },
        { duration: HOLD, target: SPIKE },
        { duration: RISE, target: BASE },
        { duration: CALM, target: BASE },
      ],
      gracefulRampDown: '30s',
    },
  },
  thresholds: {
    http_req_failed: THRESHOLDS.http_req_failed,
    webhook_enqueue_rate: ['rate>0.995'],
    'webhook_response_time{part:before}': ['p(95)<1000'],
    'webhook_response_time{part:after}': ['p(95)<1000'],
    deposit_amount_uncredited: THRESHOLDS.deposit_amount_uncredited,
  },
  summaryTrendStats: TREND_STATS,
  teardownTimeout: '10m',
};

const seconds = (text) =>
  [...text.matchAll(/([0-9.]+)(ms|h|m|s)/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * { ms: 0.001, s: 1, m: 60, h: 3600 }[unit],
    0,
  );
const TOTAL = 2 * (seconds(CALM) + seconds(RISE)) + seconds(HOLD);
const CALM_SHARE = seconds(CALM) / TOTAL;

export function setup() {
  return newUser();
}

/** @param {{user: string | null}} data */
export default function (data) {
  const progress = exec.scenario.progress;
  health();
  webhook(data, progress < CALM_SHARE ? 'before' : progress > 1 - CALM_SHARE ? 'after' : 'spike');
  pause();
}

/** @param {{user: string | null}} data */
export function teardown(data) {
  closeUser(data);
}

/** @param {any} data */
export function handleSummary(data) {
  return artifacts(data, 'Spike test', 'spike');
}
