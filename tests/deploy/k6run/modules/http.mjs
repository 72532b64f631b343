// SPDX-License-Identifier: MIT
import { sample, state } from './state.mjs';

const KNOWN = new Set(['headers', 'tags', 'timeout', 'responseCallback']);

class Response {
  constructor(answer, url, method) {
    Object.assign(this, answer, { url, request: { url, method } });
  }

  json(selector) {
    if (selector !== undefined) throw new Error('k6run: json() takes no selector');
    if (this.body === null) throw new Error('the body is null so we can\'t transform it to JSON');
    return JSON.parse(this.body);
  }
}

export function expectedStatuses(...wanted) {
  return (status) =>
    wanted.some((w) => (typeof w === 'number' ? status === w : status >= w.min && status <= w.max));
}

let expected = expectedStatuses({ min: 200, max: 399 });
export function setResponseCallback(callback) {
  expected = callback;
}

function milliseconds(timeout) {
  if (timeout === undefined) return 60000;
  if (typeof timeout === 'number') return timeout;
  const [, n, unit] = /^([0-9.]+)(ms|s|m)$/.exec(timeout);
  return Number(n) * { ms: 1, s: 1000, m: 60000 }[unit];
}

export function request(method, url, body = null, params = {}) {
  for (const key of Object.keys(params ?? {})) {
    if (!KNOWN.has(key)) throw new Error(`k6run: request parameter ${key}`);
  }
  if (body !== null && typeof body !== 'string') throw new Error('k6run: bodies are text');
  if (!state.fetch) throw new Error('requests are not allowed while the script is loaded');
  const { headers = {}, tags = {}, timeout, responseCallback = expected } = params ?? {};
  const answer = state.fetch({ method, url: String(url), headers, body, timeout: milliseconds(timeout) });
  const response = new Response(answer, String(url), method);
  const ok = responseCallback(response.status);
  const all = {
    group: state.group,
    scenario: state.scenario.name,
    name: String(url),
    url: String(url),
    method,
    status: String(response.status),
    expected_response: String(ok),
    ...tags,
  };
  sample('http_reqs', 1, all);
  sample('http_req_failed', ok ? 0 : 1, all);
  for (const [part, value] of Object.entries(response.timings)) sample(`http_req_${part}`, value, all);
  sample('data_sent', answer.sent, {});
  sample('data_received', answer.received, {});
  return response;
}

export const get = (url, params) => request('GET', url, null, params);
export const head = (url, params) => request('HEAD', url, null, params);
export const post = (url, body, params) => request('POST', url, body, params);
export const put = (url, body, params) => request('PUT', url, body, params);
export const patch = (url, body, params) => request('PATCH', url, body, params);
export const del = (url, body, params) => request('DELETE', url, body, params);
export default { get, head, post, put, patch, del, request, expectedStatuses, setResponseCallback };
