// The page: shows one section, and reads the server's state at intervals.
import {Refusal, active, alarm, ask, at, guarded, say, shared} from './common.js';
import * as convert from './convert.js';
import * as live from './live.js';
import * as measure from './measure.js';
import * as train from './train.js';

const parts = {convert, train, measure, live};
// Milliseconds between readings of the jobs, with and without one that has not ended.
const RUNNING_INTERVAL = 1000, IDLE_INTERVAL = 4000;
let timer = 0, reading = null, isOffline = false;

const show = () => {
  const name = location.hash.slice(1) in parts ? location.hash.slice(1) : 'convert';
  for (const each of Object.keys(parts)) at(each).hidden = each !== name;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  scrollTo(0, 0);
};

const render = () => Object.values(parts).forEach(part => part.render());
const signature = jobs => jobs.map(job => [job.number, job.state].join()).join(';');

const read = async everything => {
  const before = signature(shared.jobs), jobs = (await ask('GET', '/api/jobs')).jobs;
  if (everything || !shared.state || signature(jobs) !== before) shared.state = await ask('GET', '/api/state');
  shared.jobs = jobs;
  if (isOffline) alarm('');
  isOffline = false;
  at('folder').textContent = say('folder', {folder: shared.state.folder});
  if (!shared.state.consent && !at('consent').open) at('consent').showModal();
  render();
};

// One reading at a time; the next one is scheduled afterwards.
const refresh = async (everything = true) => {
  clearTimeout(timer);
  while (reading) await reading;
  reading = read(everything).catch(error => {
    if (!(error instanceof Refusal)) throw error;
    isOffline = true;
    alarm(error.message);
  }).finally(() => {
    reading = null;
    clearTimeout(timer);
    timer = setTimeout(() => refresh(false), shared.jobs.some(active) ? RUNNING_INTERVAL : IDLE_INTERVAL);
  });
  await reading;
};
shared.refresh = refresh;

at('agree').onclick = guarded(async () => {
  await ask('POST', '/api/consent');
  at('consent').close();
  await refresh();
});
at('consent').addEventListener('cancel', event => event.preventDefault());
addEventListener('hashchange', () => {
  show();
  if (shared.state) render();
  at('content').focus();
});
addEventListener('dragover', event => event.preventDefault()); // a file dropped beside the field must not replace the page
addEventListener('drop', event => event.preventDefault());
show();
Object.values(parts).forEach(part => part.begin());
await refresh();
