// SPDX-License-Identifier: MIT
//
// Soak test: the webhook test's traffic for hours. Fails on what a short run
// cannot see: response times at the end that are not those of the beginning, a
// queue that grows, deposits that are not credited.
//
//   k6 run k6/soak_test.js
//
// Variables: those of webhook_test.js, with VUS 50 and DURATION 2h, and
//   RAMP   1m: to reach VUS, and to leave
//   QUEUE_METRICS  a worker's metrics, such as http://localhost:9808/metrics; none:
//                  the queue's length is not watched
//   QUEUE          deposits
//
// Writes soak_summary.json and soak_long.txt; ends with 99 when a threshold fails.
import http from 'k6/http';
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
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

const RAMP = __ENV.RAMP || '1m';
const QUEUE_METRICS = __ENV.QUEUE_METRICS || '';
const QUEUE = __ENV.QUEUE || 'deposits';
const queueLength = new Trend('queue_length');

/** @type {import("k6/options").Options} */
export const options = {
  stages: [
    { duration: RAMP, target: Number(__ENV.VUS || 50) },
    { duration: __ENV.DURATION || '2h', target: Number(__ENV.VUS || 50) },
    { duration: RAMP, target: 0 },
  ],
  thresholds: {
    ...THRESHOLDS,
    'webhook_response_time{part:first}': ['p(95)<1000'],
    'webhook_response_time{part:last}': ['p(95)<1000'],
    queue_length: ['p(95)<50'],
  },
  summaryTrendStats: TREND_STATS,
  teardownTimeout: '10m',
};

export function setup() {
  return newUser();
}

function watchQueue() {
  const answer = http.get(QUEUE_METRICS, { tags: { name: 'metrics' } });
  const text = typeof answer.body === 'string' ? answer.body : '';
  const line = text
    .split('\n')
    .find((l) => l.startsWith('celery_queue_length{') && l.includes(`queue_name="${QUEUE}"`));
  if (line) queueLength.add(Number(line.slice(line.lastIndexOf(' ') + 1)));
}

/** @param {{user: string | null}} data */
export default function (data) {
  const progress = exec.scenario.progress;
  health();
  webhook(data, progress < 0.2 ? 'first' : progress > 0.8 ? 'last' : 'middle');
  if (__VU === 1 && QUEUE_METRICS !== '') watchQueue();
  pause();
}

/** @param {{user: string | null}} data */
export function teardown(data) {
  closeUser(data);
}

/** @param {any} data */
export function handleSummary(data) {
  return artifacts(data, 'Soak test', 'soak');
}
