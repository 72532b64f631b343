// SPDX-License-Identifier: MIT
import { sample, state } from './state.mjs';

const nothing = new Int32Array(new SharedArrayBuffer(4));

export function sleep(seconds) {
  Atomics.wait(nothing, 0, 0, seconds * 1000);
}

export function check(value, checks, tags = {}) {
  let all = true;
  for (const [name, test] of Object.entries(checks)) {
    // As in k6, a check that throws ends the iteration.
    const passed = Boolean(typeof test === 'function' ? test(value) : test);
    sample('checks', passed ? 1 : 0, { group: state.group, ...tags, check: name });
    all = all && passed;
  }
  return all;
}

export function group(name, run) {
  const outer = state.group;
  state.group = `${outer}::${name}`;
  try {
    return run();
  } finally {
    state.group = outer;
  }
}

export function fail(text) {
  throw new Error(text);
}

export default { sleep, check, group, fail };
