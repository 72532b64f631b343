// SPDX-License-Identifier: MIT
// What the modules of one virtual user's thread share.
export const state = {
  vu: 0,
  group: '',
  scenario: { name: '', executor: '', begin: 0, length: 1 },
  samples: [],
  metrics: new Map(),
  /** Sends one request and waits for its answer; set by the thread. */
  fetch: null,
};

export function sample(metric, value, tags) {
  state.samples.push([metric, value, tags]);
}
