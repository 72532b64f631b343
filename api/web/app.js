// SPDX-License-Identifier: MIT
// The newest deposits as rows; texts are set as text, never as markup.
const at = (id) => document.getElementById(id);
async function load() {
  const token = at('token').value;
  const headers = token ? { Authorization: 'Bearer ' + token } : {};
  const answer = await fetch('/api/v1/transactions?limit=100', { headers });
  const body = await answer.json();
  at('note').textContent = answer.ok ? '' : body.error;
  at('rows').replaceChildren(...(body.transactions || []).map((t) => {
    const row = document.createElement('tr');
    for (const text of [t.created_at, t.chain, t.tx_hash, t.amount + ' ' + t.currency,
      t.state, t.confirmations, t.user_id || '', t.processed_at || '']) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}
at('load').addEventListener('click', load);
