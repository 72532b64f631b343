// SPDX-License-Identifier: MIT
// Metrics, thresholds and the summary object, by k6's rules.
const BUILT_IN = {
  http_reqs: 'counter', http_req_failed: 'rate', checks: 'rate', iterations: 'counter',
  iteration_duration: 'trend time', http_req_duration: 'trend time', http_req_blocked: 'trend time',
  http_req_connecting: 'trend time', http_req_tls_handshaking: 'trend time',
  http_req_sending: 'trend time', http_req_waiting: 'trend time', http_req_receiving: 'trend time',
  vus: 'gauge', vus_max: 'gauge', data_sent: 'counter data', data_received: 'counter data',
  k6run_iterations_failed: 'counter',
};
const METHODS = {
  counter: ['count', 'rate'], gauge: ['value'], rate: ['rate'], trend: ['avg', 'min', 'max', 'med', 'p'],
};
const EXPRESSION = /^\s*(avg|min|max|med|count|rate|value|p\(\s*([0-9.]+)\s*\))\s*(<=|>=|<|>|===?|!==?)\s*(-?[0-9.]+)\s*$/;
const COMPARE = {
  '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b,
  '==': (a, b) => a === b, '===': (a, b) => a === b, '!=': (a, b) => a !== b, '!==': (a, b) => a !== b,
};

export class Wrong extends Error {}

export function percentile(sorted, p) {
  if (sorted.length === 0) return 0;
  const at = (p / 100) * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

class Metric {
  constructor(type, contains, tags) {
    Object.assign(this, { type, contains, tags, values: [], count: 0, sum: 0, last: 0, min: 0, max: 0, thresholds: [] });
  }

  add(value) {
    if (this.type === 'trend') this.values.push(value);
    this.min = this.count === 0 ? value : Math.min(this.min, value);
    this.max = this.count === 0 ? value : Math.max(this.max, value);
    this.count += 1;
    this.sum += value;
    this.last = value;
    this.sorted = null;
  }

  method(name, p, seconds) {
    if (name === 'count') return this.sum;
    if (name === 'value') return this.last;
    if (name === 'rate') return this.type === 'rate' ? (this.count ? this.sum / this.count : 0) : this.sum / seconds;
    this.sorted ??= this.values.slice().sort((a, b) => a - b);
    const n = this.sorted.length;
    if (n === 0) return 0;
    if (name === 'avg') return this.sum / n;
    if (name === 'min') return this.sorted[0];
    if (name === 'max') return this.sorted[n - 1];
    return percentile(this.sorted, name === 'med' ? 50 : p);
  }

  summary(stats, seconds) {
    if (this.type === 'counter') return { count: this.sum, rate: this.sum / seconds };
    if (this.type === 'gauge') return { value: this.last, min: this.min, max: this.max };
    if (this.type === 'rate') return { rate: this.method('rate'), passes: this.sum, fails: this.count - this.sum };
    return Object.fromEntries(stats.map((stat) => {
      const p = /^p\(([0-9.]+)\)$/.exec(stat);
      return [stat, this.method(p ? 'p' : stat, p ? Number(p[1]) : 0, seconds)];
    }));
  }
}

export class Metrics {
  constructor(custom) {
    this.all = new Map();
    this.checks = new Map();
    for (const [name, kind] of Object.entries(BUILT_IN)) {
      const [type, contains = 'default'] = kind.split(' ');
      this.all.set(name, new Metric(type, contains));
    }
    for (const [name, { type, isTime }] of custom) {
      if (this.all.has(name)) throw new Wrong(`${name} is a metric of k6's own`);
      this.all.set(name, new Metric(type, isTime ? 'time' : 'default'));
    }
    this.parts = new Map();
  }

  threshold(name, expressions) {
    const [, base, selector] = /^([A-Za-z0-9_]+)(?:\{(.*)\})?$/.exec(name) ?? [];
    const whole = this.all.get(base);
    if (!whole) throw new Wrong(`threshold on ${name}: there is no such metric`);
    let metric = whole;
    if (selector !== undefined) {
      const tags = selector.split(',').map((pair) => {
        const [tag, ...value] = pair.split(':');
        return [tag.trim(), value.join(':').trim()];
      });
      metric = new Metric(whole.type, whole.contains, tags);
      this.all.set(name, metric);
      this.parts.set(base, [...(this.parts.get(base) ?? []), metric]);
    }
    for (const text of [expressions].flat()) {
      if (typeof text !== 'string') throw new Wrong(`threshold on ${name}: k6run takes text alone`);
      const [, method, p, sign, bound] = EXPRESSION.exec(text) ?? [];
      const word = method?.startsWith('p(') ? 'p' : method;
      if (!word) throw new Wrong(`threshold on ${name}: ${text} is no expression`);
      if (!METHODS[metric.type].includes(word)) throw new Wrong(`threshold on ${name}: a ${metric.type} has no ${method}`);
      metric.thresholds.push({ text, word, p: Number(p), sign, bound: Number(bound) });
    }
  }

  add([name, value, tags]) {
    this.all.get(name).add(value);
    for (const part of this.parts.get(name) ?? []) {
      if (part.tags.every(([tag, wanted]) => tags[tag] === wanted)) part.add(value);
    }
    if (name === 'checks') {
      const key = `${tags.group}::${tags.check}`;
      const seen = this.checks.get(key) ?? { name: tags.check, path: key, passes: 0, fails: 0 };
      seen[value ? 'passes' : 'fails'] += 1;
      this.checks.set(key, seen);
    }
  }

  /** k6's data object for handleSummary. A threshold without samples passes, as in k6. */
  summary(stats, seconds) {
    const metrics = {};
    for (const [name, metric] of this.all) {
      if (metric.count === 0 && metric.thresholds.length === 0) continue;
      metrics[name] = { type: metric.type, contains: metric.contains, values: metric.summary(stats, seconds) };
      if (metric.thresholds.length === 0) continue;
      metrics[name].thresholds = Object.fromEntries(metric.thresholds.map((t) => [
        t.text,
        { ok: metric.count === 0 || COMPARE[t.sign](metric.method(t.word, t.p, seconds), t.bound) },
      ]));
    }
    return {
      root_group: { name: '', path: '', groups: [], checks: [...this.checks.values()] },
      options: { summaryTrendStats: stats, summaryTimeUnit: '', noColor: true },
      state: { isStdOutTTY: false, isStdErrTTY: false, testRunDurationMs: seconds * 1000 },
      metrics,
    };
  }
}
