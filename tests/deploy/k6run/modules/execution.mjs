// SPDX-License-Identifier: MIT
import { state } from './state.mjs';

export default {
  scenario: {
    get name() {
      return state.scenario.name;
    },
    get executor() {
      return state.scenario.executor;
    },
    get startTime() {
      return state.scenario.begin;
    },
    get progress() {
      return Math.min(1, (Date.now() - state.scenario.begin) / state.scenario.length);
    },
  },
  vu: {
    get idInTest() {
      return state.vu;
    },
  },
};
