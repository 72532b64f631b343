// SPDX-License-Identifier: MIT
// Resolves k6's module names to ours, and takes every other file as a module.
const KNOWN = {
  k6: 'k6.mjs',
  'k6/http': 'http.mjs',
  'k6/crypto': 'crypto.mjs',
  'k6/metrics': 'metrics.mjs',
  'k6/execution': 'execution.mjs',
};

export async function resolve(specifier, context, next) {
  if (Object.hasOwn(KNOWN, specifier)) {
    return { url: new URL(`modules/${KNOWN[specifier]}`, import.meta.url).href, shortCircuit: true };
  }
  if (!/^(\.{0,2}\/|file:)/.test(specifier) && !context.parentURL?.includes('/k6run/')) {
    throw new Error(`${specifier}: k6run has no such module`);
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (url.startsWith('file:') && url.endsWith('.js')) return next(url, { ...context, format: 'module' });
  return next(url, context);
}
