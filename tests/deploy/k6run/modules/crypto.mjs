// SPDX-License-Identifier: MIT
import { createHash, createHmac } from 'node:crypto';

function encoded(digest, encoding) {
  if (encoding !== 'hex' && encoding !== 'base64') throw new Error(`encoding ${encoding}`);
  return digest.digest(encoding);
}

export const hmac = (algorithm, secret, data, encoding) =>
  encoded(createHmac(algorithm, secret).update(data), encoding);
export const sha256 = (data, encoding) => encoded(createHash('sha256').update(data), encoding);
export default { hmac, sha256 };
