// SPDX-License-Identifier: MIT
//
// What the three load tests share: settings, one health check, one webhook, the
// closing look at the ledger, and the report.
import crypto from 'k6/crypto';
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';

/** The original's placeholder: exactly this value, or none, means "do not sign". */
const NO_SECRET = 'your-webhook-secret-key';

export const HOST = (__ENV.STAGING_HOST || 'http://localhost:8000').replace(/\/+$/, '');
export const ARTIFACT_DIR = __ENV.ARTIFACT_DIR || 'artifacts';
const SECRET = (__ENV.WEBHOOK_SECRET || NO_SECRET).split(',')[0].trim();
const TEST_RUN = __ENV.TEST_RUN || 'default';
const CONFIRMATIONS = Number(__ENV.CONFIRMATIONS || 12);
const SETTLE_SECONDS = Number(__ENV.SETTLE_SECONDS || 60);

export const webhookTime = new Trend('webhook_response_time', true);
export const webhookSuccess = new Rate('webhook_success_rate');
export const webhookEnqueued = new Rate('webhook_enqueue_rate');
export const healthTime = new Trend('health_response_time', true);
export const healthSuccess = new Rate('health_success_rate');

// Amounts in thousandths, so that sums are whole numbers. What a 202 promised is
// added by every virtual user; what the wallet holds at the end is taken off.
export const amountAccepted = new Counter('deposit_amount_accepted');
export const amountUncredited = new Counter('deposit_amount_uncredited');

/** The answer's JSON, or null when it has none. */
export function json(response) {
  try {
    return response.json();
  } catch (e) {
    return null;
  }
}

/** @returns {Record<string, string>} */
function authorised() {
  const first = (__ENV.API_TOKEN || '').split(',')[0];
  const token = first.slice(first.lastIndexOf(':') + 1).trim();
  return token === '' ? {} : { Authorization: `Bearer ${token}` };
}

// A server that lets nobody register or read is no failure of the load test.
const ANY_ANSWER = http.expectedStatuses({ min: 200, max: 499 });

/**
 * A fresh user whose wallet the run fills, when this caller may register one and
 * read it back; else the webhooks name nobody, as the original's did.
 * @returns {{user: string | null}}
 */
export function newUser() {
  const none = { user: null };
  if (__ENV.CHECK_CREDITED === '0') return none;
  const id = Math.floor(Math.random() * 2 ** 48) + 1;
  const answer = http.post(
    `${HOST}/api/v1/auth/register`,
    JSON.stringify({ telegram_id: id, username: `k6-${id}` }),
    {
      headers: { 'Content-Type': 'application/json' },
      tags: { name: 'register' },
      responseCallback: ANY_ANSWER,
    },
  );
  const user = answer.status === 201 && json(answer) ? json(answer).user_id : null;
  if (!user) {
    console.warn(`no user could be registered (${answer.status}): credits are not checked`);
    return none;
  }
  const wallet = http.get(`${HOST}/api/v1/wallets/${user}`, {
    headers: authorised(),
    tags: { name: 'wallet' },
    responseCallback: ANY_ANSWER,
  });
  if (wallet.status !== 200) {
    console.warn(`wallets may not be read (${wallet.status}; API_TOKEN?): credits are not checked`);
    return none;
  }
  return { user };
}

/** GET /api/v1/health with its three checks. */
export function health() {
  const response = http.get(`${HOST}/api/v1/health`, { tags: { name: 'health' } });
  healthTime.add(response.timings.duration);
  const body = json(response);
  healthSuccess.add(
    check(response, {
      'health status is 200': (r) => r.status === 200,
      'health response time < 100ms': (r) => r.timings.duration < 100,
      'health has status field': () =>
        body !== null && (body.status === 'healthy' || body.status === 'ok'),
    }),
  );
}

function hex(digits) {
  let text = '';
  while (text.length < digits) text += Math.floor(Math.random() * 16).toString(16);
  return text;
}

/**
 * One signed webhook with its four checks.
 * @param {{user: string | null}} data what newUser() gave
 * @param {string} [part] tags the response time, for thresholds on a part of the run
 */
export function webhook(data, part) {
  const thousandths = 1 + Math.floor(Math.random() * 100001);
  const whole = Math.floor(thousandths / 1000);
  const body = JSON.stringify({
    tx_hash: `k6-${__VU}-${Date.now()}-${hex(8)}`,
    amount: `${whole}.${String(thousandths % 1000).padStart(3, '0')}`,
    ...(data.user ? { user_id: data.user, confirmations: CONFIRMATIONS } : {}),
    metadata: {
      note: 'k6-load-test',
      test_run: TEST_RUN,
      virtual_user: __VU,
      iteration: __ITER,
    },
  });
  /** @type {Record<string, string>} */
  const headers = { 'Content-Type': 'application/json' };
  if (SECRET !== '' && SECRET !== NO_SECRET) {
    headers['X-Webhook-Signature'] = `sha256=${crypto.hmac('sha256', SECRET, body, 'hex')}`;
  }
  const response = http.post(`${HOST}/api/v1/webhooks/bep20`, body, {
    headers,
    tags: { name: 'webhook' },
  });
  const answer = json(response);
  const accepted = response.status === 202 && answer !== null && answer.ok === true;
  webhookTime.add(response.timings.duration, part ? { part } : {});
  webhookEnqueued.add(accepted);
  webhookSuccess.add(
    check(response, {
      'webhook status is 202': (r) => r.status === 202,
      'webhook response time < 1s': (r) => r.timings.duration < 1000,
      'webhook response has ok field': () => answer !== null && answer.ok === true,
      'webhook response has tx_id field': () =>
        answer !== null && typeof answer.tx_id === 'string' && answer.tx_id !== '',
    }),
  );
  if (accepted && data.user) {
    amountAccepted.add(thousandths);
    amountUncredited.add(thousandths);
  }
  return response;
}

/** The original's pause: 0.5 to 2 s. Part of what a virtual user is. */
export function pause() {
  sleep(0.5 + Math.random() * 1.5);
}

/** @param {string} text a decimal @returns {number} in thousandths, exact */
function thousandths(text) {
  const [whole, fraction = ''] = text.split('.');
  return Number(whole) * 1000 + Number(fraction.padEnd(3, '0').slice(0, 3));
}

/**
 * A 202 is a promise. Waits until the user has no deposit in work, then takes the
 * wallet's balance off what was promised: what stays above zero was lost. Below
 * zero: credited, but the 202 did not reach us.
 * @param {{user: string | null}} data
 */
export function closeUser(data) {
  if (!data.user) return;
  const open = (state) => {
    const list = json(
      http.get(`${HOST}/api/v1/transactions?user_id=${data.user}&state=${state}&limit=1`, {
        headers: authorised(),
        tags: { name: 'transactions' },
      }),
    );
    return list === null || list.transactions === undefined || list.transactions.length > 0;
  };
  const deadline = Date.now() + SETTLE_SECONDS * 1000;
  while ((open('received') || open('awaiting_confirmations')) && Date.now() < deadline) {
    sleep(0.5);
  }
  const wallet = json(
    http.get(`${HOST}/api/v1/wallets/${data.user}`, {
      headers: authorised(),
      tags: { name: 'wallet' },
    }),
  );
  amountUncredited.add(-thousandths(wallet ? wallet.deposit_balance : '0'));
}

/** Everything the original measured, and nothing lost. */
export const THRESHOLDS = {
  http_req_duration: ['p(95)<2000', 'p(99)<5000'],
  http_req_failed: ['rate<0.005'],
  webhook_response_time: ['p(95)<1000'],
  webhook_success_rate: ['rate>0.99'],
  health_response_time: ['p(95)<100'],
  health_success_rate: ['rate>0.99'],
  deposit_amount_uncredited: ['count<=0'],
};

export const TREND_STATS = ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)'];

const number = (value, digits, unit) =>
  !Number.isFinite(value) ? 'none' : `${value.toFixed(digits)}${unit}`;

/**
 * The report as text: figures, then one PASS or FAIL line a threshold.
 * @param {any} data k6's summary object
 * @param {string} title
 */
export function report(data, title) {
  const values = (name) => (data.metrics[name] ? data.metrics[name].values : {});
  const requests = values('http_reqs');
  const failed = values('http_req_failed');
  const times = values('http_req_duration');
  const lines = [
    title,
    '',
    `Host                 ${HOST}`,
    `Test run             ${TEST_RUN}`,
    `Duration             ${number(data.state.testRunDurationMs / 1000, 1, ' s')}`,
    `Virtual users        ${number(values('vus_max').value, 0, '')}`,
    `Requests             ${number(requests.count, 0, '')} (${number(requests.rate, 1, '/s')})`,
    // A Rate counts what it was fed as "passes": here, the failed requests.
    `Failed requests      ${number(failed.passes, 0, '')}`,
    `Error rate           ${number(failed.rate * 100, 3, ' %')}`,
    '',
    `Response time        average ${number(times.avg, 1, ' ms')}, P95 ${number(times['p(95)'], 1, ' ms')}, ` +
      `P99 ${number(times['p(99)'], 1, ' ms')}, max ${number(times.max, 1, ' ms')}`,
  ];
  for (const [label, rate, trend] of [
    ['Webhook', 'webhook_success_rate', 'webhook_response_time'],
    ['Health', 'health_success_rate', 'health_response_time'],
  ]) {
    const t = values(trend);
    lines.push(
      `${label.padEnd(21)}success ${number(values(rate).rate * 100, 2, ' %')}, ` +
        `average ${number(t.avg, 1, ' ms')}, P95 ${number(t['p(95)'], 1, ' ms')}`,
    );
  }
  const accepted = values('deposit_amount_accepted').count;
  lines.push(
    accepted === undefined
      ? 'Deposits             credits were not checked'
      : `Deposits             accepted ${number(accepted / 1000, 3, '')}, ` +
          `not credited ${number(values('deposit_amount_uncredited').count / 1000, 3, '')}`,
    '',
    'Thresholds',
  );
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [expression, result] of Object.entries(metric.thresholds || {})) {
      lines.push(`  ${result.ok ? 'PASS' : 'FAIL'}  ${name}: ${expression}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/**
 * The artifacts of one script. k6 makes no folder: ARTIFACT_DIR must be there.
 * @param {any} data
 * @param {string} title
 * @param {string} prefix
 * @returns {Record<string, string>}
 */
export function artifacts(data, title, prefix) {
  const text = report(data, title);
  return {
    [`${ARTIFACT_DIR}/${prefix}_summary.json`]: JSON.stringify(data, null, 2),
    [`${ARTIFACT_DIR}/${prefix}_long.txt`]: text,
    stdout: `\n${text}`,
  };
}
