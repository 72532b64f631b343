// SPDX-License-Identifier: MIT
import { sample, state } from './state.mjs';

class Metric {
  constructor(name, isTime = false) {
    if (state.loaded) throw new Error(`${name}: metrics are made while the script is loaded`);
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) throw new Error(`${name}: no name of a metric`);
    this.name = name;
    state.metrics.set(name, { type: this.constructor.name.toLowerCase(), isTime });
  }

  add(value, tags = {}) {
    const number = Number(value);
    if (Number.isNaN(number)) throw new Error(`${this.name} was fed with ${value}`);
    sample(this.name, number, { group: state.group, ...tags });
  }
}

export class Counter extends Metric {}
export class Gauge extends Metric {}
export class Trend extends Metric {}
export class Rate extends Metric {
  add(value, tags) {
    super.add(value ? 1 : 0, tags);
  }
}
export default { Counter, Gauge, Rate, Trend };
