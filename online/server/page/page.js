// The page for people: asks this server, and shows its answers. Whatever comes from a catalogue or a
// language model is text, and enters the document as text only (textContent), never as markup.
'use strict';

const $ = (id) => document.getElementById(id);
const CANDIDATES = 100; // of the sample
let catalogue = [];     // ids of the sample

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function say(text, bad) {
  $('message').textContent = text;
  $('message').className = bad ? 'bad' : 'soft';
}

async function call(path, body) {
  const headers = {};
  if ($('token').value) headers.Authorization = 'Bearer ' + $('token').value;
  const options = body ? { method: 'POST', headers, body: JSON.stringify(body) } : { headers };
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    $('token-field').hidden = false;
    $('token').focus();
  }
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.error && json.error.reason ? json.error.reason : 'HTTP ' + answer.status);
  return json;
}

// ---- choosing ----

function fill(list, entries, value, label) {
  list.replaceChildren(...entries.map((entry) => {
    const option = element('option');
    option.value = value(entry);
    option.label = label(entry);
    return option;
  }));
}

// The last of several lookups counts, whatever order the answers come in.
function lookup(input, path, show) {
  let last = 0;
  input.addEventListener('input', async () => {
    const mine = ++last;
    try {
      const found = await call(path + (input.value ? '/' + encodeURIComponent(input.value) : ''));
      if (mine === last) show(found);
    } catch (error) {
      say(error.message, true);
    }
  });
}

const showUsers = (found) => fill($('users'), found.users, (u) => u.user_id, (u) => u.history_n + ' events');
const showItems = (found) => fill($('items'), found.items, (i) => i.item_id, (i) => i.title);

function showSamples(found) {
  $('samples').replaceChildren(...found.users.slice(0, 12).map((u) => {
    const button = element('button', '', u.user_id);
    button.type = 'button';
    button.addEventListener('click', () => { $('user').value = u.user_id; rank(); });
    return button;
  }));
  if (found.hidden) $('samples').textContent = 'This server does not list its users (--example-users does).';
}

async function describe() {
  const snapshot = await call('v1/snapshot');
  const numbers = ['users', 'items', 'examples'].map((n) => snapshot[n + '_n'].toLocaleString() + ' ' + n);
  $('snapshot').textContent = ['snapshot ' + snapshot.generation, ...numbers].join(' · ');
  for (const arm of snapshot.arms) $('arm').append(new Option(arm, arm, false, arm === snapshot.default_arm));
  for (let k = 1; k <= 8; k++) $('k').append(new Option(k, k));
  const [users, items] = await Promise.all([call('v1/users'), call('v1/items')]);
  showSamples(users);
  showUsers(users);
  showItems(items);
  catalogue = items.items.slice(0, CANDIDATES).map((i) => i.item_id);
}

function candidates() {
  const own = $('candidates').value.split(/\s+/).filter(Boolean);
  $('candidates-what').textContent = own.length ? own.length + ' of your own' : 'a sample of the catalogue';
  return own.length ? own : catalogue;
}

// ---- showing ----

const percent = (x) => (100 * x).toFixed(1) + ' %';

function bar(share, kind, title) {
  const outer = element('div', 'bar ' + kind), inner = element('i');
  inner.style.width = Math.max(0, Math.min(1, share)) * 100 + '%';
  outer.append(inner);
  outer.setAttribute('role', 'img');
  outer.setAttribute('aria-label', title);
  return outer;
}

// How far a score would move, in points of a hundredth: "+1.2" is green, for the example holds it down.
function delta(from, to) {
  const points = 100 * (to - from);
  const text = (points >= 0 ? '+' : '\u2212') + Math.abs(points).toFixed(1);
  return element('span', Math.abs(points) < 0.05 ? 'soft' : points > 0 ? 'good' : 'bad', text);
}

function row(list, name, middle, value) {
  list.append(element('dt', '', name));
  const wide = element('dd'), number = element('dd', 'number');
  wide.append(middle);
  number.append(value);
  list.append(wide, number);
}

function exampleCard(example, score) {
  const card = element('article', 'example ' + (example.label ? 'liked' : 'disliked'));
  const list = element('dl'), without = element('span', '', percent(example.score_without) + ' ');
  card.append(element('h3', '', example.title || example.item_id));
  card.append(element('p', example.label ? 'good' : 'bad', example.label ? 'Liked' : 'Not liked'));
  if (example.user_id) card.lastChild.append(element('span', 'soft', ' by ' + example.user_id));
  if ('attention' in example)
    row(list, 'Attention', bar(example.attention, 'attention', 'attention ' + percent(example.attention)), percent(example.attention));
  row(list, 'Similarity', bar((example.similarity + 1) / 2, '', 'similarity ' + example.similarity.toFixed(2)), example.similarity.toFixed(2));
  without.append(delta(score, example.score_without));
  row(list, 'Without', bar(example.score_without, '', 'score without it ' + percent(example.score_without)), without);
  card.append(list, element('p', example.cot ? 'cot' : 'cot soft', example.cot || 'No reasoning is stored for this decision.'));
  return card;
}

function why(result) {
  const box = element('div', 'why'), examples = element('div', 'examples');
  const line = element('p', 'soft', 'Without any example the score would be ' + percent(result.score_no_examples) + ' ');
  line.append(delta(result.score, result.score_no_examples), '.');
  if (!result.examples) line.textContent = 'No example was read for this score.';
  box.append(line);
  const seen = (result.examples || []).reduce((sum, e) => sum + (e.attention || 0), 0);
  if (seen) box.append(element('p', 'soft', percent(1 - seen) + ' of the attention stays with the candidate itself.'));
  for (const example of result.examples || []) examples.append(exampleCard(example, result.score));
  box.append(examples);
  return box;
}

function resultItem(result, place) {
  const item = element('li'), details = element('details'), summary = element('summary');
  const name = element('span', 'name', result.title || result.item_id);
  const moved = element('span', 'delta');
  name.append(' ', element('small', '', result.item_id));
  if (result.degraded) name.append(element('span', 'flag', result.degraded));
  moved.append('no examples ', delta(result.score, result.score_no_examples));
  summary.append(element('span', 'place', place), name, bar(result.score, '', 'score ' + percent(result.score)),
    element('span', 'number', percent(result.score)), moved);
  details.append(summary);
  // Made when it is first opened: most never are.
  details.addEventListener('toggle', () => { if (details.open && !details.dataset.made) { details.append(why(result)); details.dataset.made = 1; } });
  item.append(details);
  return item;
}

function showHistory(answer) {
  const chips = answer.history.map((e) => {
    const chip = element('span', 'chip' + (e.label === 1 ? ' good' : e.label === 0 ? ' bad' : ''), e.title || e.item_id);
    chip.title = (e.title || e.item_id) + (e.label === 1 ? ': liked' : e.label === 0 ? ': not liked' : '');
    return chip;
  });
  $('history').replaceChildren(element('p', 'soft', chips.length ? 'History, oldest first:' : 'Nothing is known of this user.'), ...chips);
  $('history').hidden = false;
}

function show(answer, n) {
  const flag = answer.degraded ? ' (' + answer.degraded + ')' : '';
  $('results').replaceChildren(...answer.results.map((r, i) => resultItem(r, i + 1)));
  $('legend').hidden = false;
  showHistory(answer);
  say(`Arm ${answer.arm}${flag}: the first ${answer.results.length} of ${n} in ${answer.timings.total_ms.toFixed(1)} ms, explanations included.`);
}

async function rank() {
  const list = candidates(), request = { candidates: list, top: Number($('top').value) };
  const address = new URLSearchParams({ user: $('user').value, top: $('top').value });
  if ($('user').value) request.user_id = $('user').value;
  if ($('arm').value) { request.arm = $('arm').value; address.set('arm', request.arm); }
  if ($('k').value) { request.k = Number($('k').value); address.set('k', request.k); }
  history.replaceState(null, '', '#' + address);
  say('…');
  try {
    show(await call('v1/explain', request), list.length);
  } catch (error) {
    $('results').replaceChildren();
    say(error.message, true);
  }
}

// ---- keys, and what the address says ----

// Up and down go from result to result, as in a list; Enter and blank open, as everywhere.
function onKey(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const all = [...document.querySelectorAll('#results > li > details > summary')];
  const at = all.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  all[Math.max(0, Math.min(all.length - 1, at + step))].focus();
}

// #user=u7&arm=din&k=2&top=10&open=1
async function start() {
  const asked = new URLSearchParams(location.hash.slice(1));
  try {
    await describe();
  } catch (error) {
    say(error.message, true);
    return;
  }
  for (const name of ['user', 'arm', 'k', 'top']) {
    const before = $(name).value;
    if (asked.has(name)) $(name).value = asked.get(name);
    if (!$(name).value) $(name).value = before; // a choice that there is not
  }
  if (!asked.has('user')) return;
  await rank();
  const open = document.querySelectorAll('#results details')[Number(asked.get('open')) - 1];
  if (open) open.open = true;
}

$('ask').addEventListener('submit', (event) => { event.preventDefault(); $('arm').options.length ? rank() : start(); });
$('results').addEventListener('keydown', onKey);
$('add').addEventListener('click', () => { $('candidates').value = ($('candidates').value + ' ' + $('item').value).trim(); $('item').value = ''; candidates(); });
$('candidates').addEventListener('input', candidates);
lookup($('user'), 'v1/users', showUsers);
lookup($('item'), 'v1/items', showItems);
start();
