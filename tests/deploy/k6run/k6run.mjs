#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// Runs a k6 script unchanged with the part of k6's interface that this
// repository's scripts use. Not k6, and no measure of load: README.md beside this.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { Metrics, Wrong } from './metrics.mjs';

const THRESHOLDS_FAILED = 99;
const INVALID = 104;
const SCRIPT_ERROR = 107;
const GRACE_MS = 30000;
const TICK_MS = 50;
const STATS = ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)'];
const OPTIONS = new Set(['vus', 'duration', 'iterations', 'stages', 'scenarios', 'thresholds',
  'summaryTrendStats', 'setupTimeout', 'teardownTimeout']);
const EXECUTORS = {
  'constant-vus': ['vus', 'duration'],
  'ramping-vus': ['startVUs', 'stages', 'gracefulRampDown'],
  'per-vu-iterations': ['vus', 'iterations', 'maxDuration'],
};

class Exit extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

function milliseconds(text) {
  if (typeof text === 'number') return text;
  let sum = 0;
  const rest = String(text).replace(/([0-9.]+)(ms|d|h|m|s)/g, (_, n, unit) => {
    sum += Number(n) * { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 }[unit];
    return '';
  });
  if (rest !== '' || Number.isNaN(sum)) throw new Wrong(`'${text}' is no duration`);
  return sum;
}

function commandLine(argv) {
  const given = { env: { ...process.env }, options: {} };
  const words = argv.slice();
  if (words.shift() !== 'run') throw new Exit(INVALID, 'usage: k6run.mjs run [OPTIONS] SCRIPT');
  while (words.length > 0) {
    const word = words.shift();
    if (!word.startsWith('-')) {
      if (given.script) throw new Exit(INVALID, `a second script: ${word}`);
      given.script = path.resolve(word);
      continue;
    }
    const [name, joined] = word.startsWith('--') && word.includes('=')
      ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)] : [word];
    const value = () => joined ?? words.shift() ?? '';
    if (name === '--vus' || name === '-u') given.options.vus = Number(value());
    else if (name === '--duration' || name === '-d') given.options.duration = value();
    else if (name === '--iterations' || name === '-i') given.options.iterations = Number(value());
    else if (name === '--env' || name === '-e') {
      const pair = value();
      given.env[pair.slice(0, pair.indexOf('='))] = pair.slice(pair.indexOf('=') + 1);
    } else throw new Exit(INVALID, `k6run has no option ${name}`);
  }
  if (!given.script || !fs.existsSync(given.script)) throw new Exit(INVALID, `no script ${given.script}`);
  return given;
}

/** k6's short forms as scenarios. */
function scenarios(options) {
  if (options.scenarios) return options.scenarios;
  if (options.iterations) return { default: { executor: 'per-vu-iterations', vus: options.vus ?? 1, iterations: Math.ceil(options.iterations / (options.vus ?? 1)) } };
  if (options.stages) return { default: { executor: 'ramping-vus', startVUs: options.vus ?? 1, stages: options.stages } };
  if (options.duration) return { default: { executor: 'constant-vus', vus: options.vus ?? 1, duration: options.duration } };
  return { default: { executor: 'per-vu-iterations', vus: 1, iterations: 1 } };
}

function plan(name, scenario) {
  const { executor, ...rest } = scenario;
  if (!EXECUTORS[executor]) throw new Wrong(`scenario ${name}: k6run has no executor ${executor}`);
  for (const key of Object.keys(rest)) {
    if (!EXECUTORS[executor].includes(key)) throw new Wrong(`scenario ${name}: ${executor} takes no ${key}`);
  }
  if (executor === 'per-vu-iterations') {
    return { name, executor, iterations: rest.iterations ?? 1, length: milliseconds(rest.maxDuration ?? '10m'), users: () => rest.vus ?? 1, most: rest.vus ?? 1 };
  }
  const stages = executor === 'constant-vus'
    ? [{ duration: rest.duration, target: rest.vus ?? 1 }]
    : rest.stages;
  const first = executor === 'constant-vus' ? rest.vus ?? 1 : rest.startVUs ?? 1;
  const parts = stages.map((s) => ({ length: milliseconds(s.duration), target: s.target }));
  const length = parts.reduce((sum, s) => sum + s.length, 0);
  if (!(length > 0)) throw new Wrong(`scenario ${name} lasts no time`);
  const users = (elapsed) => {
    let from = first;
    let left = elapsed;
    for (const part of parts) {
      if (left < part.length) return Math.round(from + ((part.target - from) * left) / part.length);
      left -= part.length;
      from = part.target;
    }
    return 0;
  };
  return { name, executor, length, users, most: Math.max(first, ...parts.map((s) => s.target)) };
}

// --- requests -----------------------------------------------------------

function send(agent, wanted, done) {
  const at = { begin: performance.now() };
  const url = new URL(wanted.url);
  const timings = () => {
    const end = performance.now();
    const open = at.open ?? end;
    const sent = at.sent ?? open;
    const head = at.head ?? end;
    return { duration: end - open, blocked: 0, connecting: open - at.begin, tls_handshaking: 0,
      sending: sent - open, waiting: Math.max(0, head - sent), receiving: end - head };
  };
  let finished = false;
  const finish = (answer) => {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    done({ status: 0, body: null, headers: {}, error: '', sent: wanted.body ? Buffer.byteLength(wanted.body) : 0, received: 0, timings: timings(), ...answer });
  };
  const request = (url.protocol === 'https:' ? https : http).request(url, {
    method: wanted.method, agent,
    headers: { 'User-Agent': 'k6run', ...(wanted.body === null ? {} : { 'Content-Length': Buffer.byteLength(wanted.body) }), ...wanted.headers },
  }, (response) => {
    at.head = performance.now();
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk));
    response.on('error', (e) => finish({ error: e.message }));
    response.on('end', () => {
      const body = Buffer.concat(chunks);
      finish({ status: response.statusCode, headers: response.headers, body: body.toString(), received: body.length });
    });
  });
  const timer = setTimeout(() => request.destroy(new Error('request timeout')), wanted.timeout);
  request.on('socket', (socket) => {
    const opened = () => { at.open = performance.now(); };
    if (socket.connecting) socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', opened);
    else opened();
  });
  request.on('finish', () => { at.sent = performance.now(); });
  request.on('error', (e) => finish({ error: e.message || e.code }));
  request.end(wanted.body ?? undefined);
}

// --- virtual users ------------------------------------------------------

class User {
  constructor(test, vu) {
    const channel = new MessageChannel();
    this.running = new Int32Array(new SharedArrayBuffer(4));
    this.signal = new Int32Array(new SharedArrayBuffer(4));
    this.busy = false;
    this.agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': new https.Agent({ keepAlive: true }) };
    this.worker = new Worker(new URL('./vu.mjs', import.meta.url), {
      workerData: { script: test.script, env: test.env, vu, port: channel.port2, signal: this.signal, running: this.running },
      transferList: [channel.port2],
    });
    channel.port1.on('message', (wanted) => {
      const scheme = wanted.url.startsWith('https:') ? 'https:' : 'http:';
      const answer = (value) => {
        channel.port1.postMessage(value);
        Atomics.store(this.signal, 0, 1);
        Atomics.notify(this.signal, 0);
      };
      try {
        send(this.agents[scheme], wanted, answer);
      } catch (e) {
        answer({ status: 0, body: null, headers: {}, error: e.message, sent: 0, received: 0, timings: { duration: 0 } });
      }
    });
    channel.port1.unref();
    this.loaded = new Promise((resolve, reject) => {
      this.worker.on('message', (message) => {
        if (message.type === 'loaded') resolve(message);
        else if (message.type === 'broken') reject(new Exit(SCRIPT_ERROR, message.text));
        else if (message.type === 'samples') message.samples.forEach((s) => test.metrics.add(s));
        else this.answered(message);
      });
      this.worker.on('error', reject);
    });
  }

  order(message) {
    this.busy = true;
    return new Promise((resolve) => {
      this.answered = (answer) => {
        this.busy = false;
        resolve(answer);
      };
      this.worker.postMessage(message);
    });
  }

  async call(name, data) {
    const answer = await this.order({ type: name, data });
    if (answer.error) throw new Exit(SCRIPT_ERROR, `${name}: ${answer.error}`);
    return answer.value === undefined ? undefined : JSON.parse(answer.value);
  }

  end() {
    this.agents['http:'].destroy();
    this.agents['https:'].destroy();
    return this.worker.terminate();
  }
}

/** Does not keep the program alive. */
const atMost = (ms) => new Promise((resolve) => { setTimeout(resolve, ms).unref(); });
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Keeps as many users at work as the plan wants at each moment. */
async function execute(test, scenario, data) {
  const users = [];
  for (let i = 0; i < scenario.most; i += 1) users.push(new User(test, ++test.users));
  test.all.push(...users);
  await Promise.all(users.map((u) => u.loaded));
  const about = { name: scenario.name, executor: scenario.executor, begin: Date.now(), length: scenario.length };
  const run = (user) => user.order({ type: 'run', data, scenario: about, iterations: scenario.iterations });
  const started = [];
  if (scenario.iterations) {
    for (const user of users) {
      Atomics.store(user.running, 0, 1);
      started.push(run(user));
    }
  }
  for (;;) {
    const elapsed = Date.now() - about.begin;
    const wanted = elapsed < scenario.length ? scenario.users(elapsed) : 0;
    test.metrics.add(['vus', wanted, {}]);
    if (scenario.iterations && users.every((u) => !u.busy)) break;
    users.forEach((user, i) => {
      Atomics.store(user.running, 0, i < wanted ? 1 : 0);
      if (i < wanted && !user.busy && !scenario.iterations) started.push(run(user));
    });
    if (elapsed >= scenario.length) break;
    await pause(TICK_MS);
  }
  await Promise.race([Promise.all(started), atMost(GRACE_MS)]);
}

function save(result) {
  for (const [name, text] of Object.entries(result ?? {})) {
    try {
      if (name === 'stdout' || name === 'stderr') process[name].write(text);
      else fs.writeFileSync(name, text);
    } catch (e) {
      console.error(`could not save the summary: ${e.message}`);
    }
  }
}

async function run(argv) {
  const test = { ...commandLine(argv), users: 0, all: [], metrics: { add() {} } };
  const director = new User(test, 0);
  test.all.push(director);
  try {
    const loaded = await director.loaded;
    const options = { ...loaded.options, ...test.options };
    // As in k6, what is given on the command line replaces the other forms.
    if (test.options.duration || test.options.iterations) {
      delete options.scenarios;
      delete options.stages;
      if (!test.options.iterations) delete options.iterations;
    }
    for (const key of Object.keys(options)) {
      if (!OPTIONS.has(key)) throw new Wrong(`k6run has no option ${key}`);
    }
    const plans = Object.entries(scenarios(options)).map(([name, s]) => plan(name, s));
    test.metrics = new Metrics(loaded.metrics);
    for (const [name, list] of Object.entries(options.thresholds ?? {})) test.metrics.threshold(name, list);
    const begin = Date.now();
    const data = await director.call('setup');
    test.metrics.add(['vus_max', plans.reduce((sum, p) => sum + p.most, 0), {}]);
    await Promise.all(plans.map((p) => execute(test, p, data)));
    const failed = loaded.exports.includes('teardown') ? await director.order({ type: 'teardown', data }) : {};
    if (failed.error) console.error(`teardown: ${failed.error}`);
    const seconds = (Date.now() - begin) / 1000;
    const summary = test.metrics.summary(options.summaryTrendStats ?? STATS, seconds);
    summary.setup_data = data;
    if (loaded.exports.includes('handleSummary')) save(await director.call('handleSummary', summary));
    else save({ stdout: `${JSON.stringify(summary.metrics, null, 2)}\n` });
    const crossed = Object.entries(summary.metrics).filter(([, m]) => Object.values(m.thresholds ?? {}).some((t) => !t.ok));
    if (crossed.length > 0) throw new Exit(THRESHOLDS_FAILED, `thresholds on metrics '${crossed.map(([name]) => name).join(', ')}' have been crossed`);
    return 0;
  } finally {
    await Promise.all(test.all.map((u) => u.end()));
  }
}

let code;
try {
  code = await run(process.argv.slice(2));
} catch (e) {
  console.error(e.message);
  code = e instanceof Exit ? e.code : e instanceof Wrong ? INVALID : 1;
}
// Not exit(): what the threads printed may still be on its way.
process.exitCode = code;
