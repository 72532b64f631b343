// SPDX-License-Identifier: MIT
// The thread of one virtual user; number 0 loads the options and runs setup,
// teardown and handleSummary.
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { state } from './modules/state.mjs';

const { script, env, vu, port, signal, running } = workerData;
state.vu = vu;
globalThis.__ENV = env;
globalThis.__VU = vu;
globalThis.__ITER = 0;
register('./hooks.mjs', import.meta.url);

function fetch(request) {
  Atomics.store(signal, 0, 0);
  port.postMessage(request);
  // The wake-up of the answer before may come late: the value decides.
  while (Atomics.load(signal, 0) === 0) Atomics.wait(signal, 0, 0);
  return receiveMessageOnPort(port).message;
}

function flush() {
  if (state.samples.length === 0) return;
  parentPort.postMessage({ type: 'samples', samples: state.samples });
  state.samples = [];
}

function loop(module, data, iterations) {
  for (let done = 0; Atomics.load(running, 0) && done < iterations; done += 1) {
    const begin = performance.now();
    let failed = false;
    try {
      module.default(data);
    } catch (e) {
      failed = true;
      console.error(`iteration failed: ${e.stack}`);
    }
    state.samples.push(['iterations', 1, {}], ['iteration_duration', performance.now() - begin, {}]);
    if (failed) state.samples.push(['k6run_iterations_failed', 1, {}]);
    flush();
    globalThis.__ITER += 1;
  }
}

let module;
try {
  module = await import(pathToFileURL(script).href);
  if (typeof module.default !== 'function') throw new Error('the script has no default function');
} catch (e) {
  parentPort.postMessage({ type: 'broken', text: String(e.stack) });
}
if (module) {
  state.fetch = fetch;
  state.loaded = true;
  parentPort.on('message', (order) => {
    const answer = { type: 'done', order: order.type };
    try {
      if (order.type === 'run') {
        state.scenario = order.scenario;
        loop(module, order.data, order.iterations ?? Infinity);
      } else {
        state.group = order.type === 'handleSummary' ? '' : `::${order.type}`;
        const value = module[order.type] ? module[order.type](order.data) : undefined;
        answer.value = value === undefined ? undefined : JSON.stringify(value);
      }
    } catch (e) {
      answer.error = String(e.stack);
    }
    flush();
    parentPort.postMessage(answer);
  });
  parentPort.postMessage({
    type: 'loaded',
    options: JSON.parse(JSON.stringify(module.options ?? {})),
    metrics: [...state.metrics],
    exports: Object.keys(module),
  });
}
