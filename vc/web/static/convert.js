// Conversion of recordings, and playback of both.
import {active, announce, ask, at, button, choices, guarded, keep, kept, keyed, make, place, say, send, shared, text} from './common.js';
import {intake} from './intake.js';
import {Player} from './player.js';
import {recorder} from './recorder.js';

const players = new Map();
let jobNumber = null; // of the latest conversion that the page knows

export const label = voice => {
  const name = text[`voice_${voice.to}`] && voice.model === 'six_voices' ? text[`voice_${voice.to}`] : voice.name;
  if (voice.model === 'six_voices') return name;
  return say(voice.source ? 'voice_pair' : 'voice_anyone', {name, model: voice.model, source: voice.source});
};
const isOwn = voice => shared.state.experiments.some(each => each.name === voice.model);
const pending = () => shared.state.sources.filter(source => !(at('voice').value in source.converted));
const timestamp = () => new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');

export const begin = () => {
  const holder = at('source-intake'), uploads = intake(holder.dataset.extensions, () => '/api/sources');
  holder.append(...uploads.elements, recorder(() => `recording-${timestamp()}`, file => uploads.add([file])).element);
  at('voice').onchange = () => { keep('voice', at('voice').value); render(); };
  at('convert-start').onclick = guarded(start);
  at('convert-stop').onclick = guarded(async () => {
    await ask('POST', `/api/jobs/${jobNumber}/stop`);
    await shared.refresh();
  });
  at('model-file').onchange = guarded(async () => {
    const [file] = at('model-file').files;
    at('model-file').value = '';
    const answer = await (await send('PUT', `/api/models?name=${encodeURIComponent(file.name)}`, file)).json();
    announce(say('model_added', {name: answer.name}));
    await shared.refresh();
    choose(answer.name);
  });
};

// Select a model's voice; of a pair, the target's.
export const choose = model => {
  const voice = shared.state.voices.find(each => each.model === model);
  if (!voice) return;
  at('voice').value = voice.id;
  keep('voice', voice.id);
  render();
};

const start = async () => {
  const names = (pending().length ? pending() : shared.state.sources).map(source => source.name);
  const job = await ask('POST', '/api/jobs', {kind: 'convert', request: {voice: at('voice').value, names}});
  jobNumber = job.number;
  await shared.refresh();
};

export const render = () => {
  const {state, jobs} = shared, voice = at('voice'), first = !voice.options.length;
  choices(voice, [
    [say('voice_own'), state.voices.filter(isOwn).map(each => [each.id, label(each)])],
    [say('voice_carried'), state.voices.filter(each => !isOwn(each)).map(each => [each.id, label(each)])],
  ]);
  if (first && [...voice.options].some(each => each.value === kept('voice'))) voice.value = kept('voice');
  at('model-faults').textContent = Object.entries(state.faults)
    .map(([name, reason]) => say('model_fault', {name, reason})).join(' ');
  jobNumber ??= jobs.find(job => job.kind === 'convert' && active(job))?.number ?? null;
  const job = jobs.find(each => each.number === jobNumber), running = Boolean(job && active(job));
  const count = pending().length, start = at('convert-start');
  start.disabled = running || !state.sources.length;
  start.textContent = !state.sources.length ? say('convert_none')
    : count === 1 ? say('convert_one') : count ? say('convert_many', {count}) : say('convert_again');
  at('convert-stop').hidden = at('convert-progress').hidden = !running;
  const message = !job ? '' : running ? say(job.state === 'running' ? 'convert_running' : 'convert_waiting')
    : job.state === 'done' ? say('convert_done') : job.state === 'failed' ? say('convert_failed') : say('state_stopped');
  if (at('convert-state').textContent !== message) at('convert-state').textContent = message;
  const faults = job?.state === 'failed' ? job.lines : [];
  at('convert-faults').replaceChildren(...faults.map(line => make('li', {textContent: line.replace(/^vc-\w+: (error: )?/, '')})));
  const all = state.sources.filter(source => voice.value in source.converted);
  at('downloads').hidden = all.length < 2;
  if (at('downloads').dataset.voice !== voice.value) {
    at('downloads').dataset.voice = voice.value;
    at('downloads').replaceChildren(make('span', {textContent: say('download_all')}), ...['wav', 'flac'].map(format =>
      make('a', {className: 'button small plain', textContent: say(`download_all_${format}`), download: '', href: `/api/archive/${place(voice.value)}?format=${format}`})));
  }
  at('sources-empty').hidden = state.sources.length > 0;
  const newest = [...state.sources].sort((one, other) => other.changed - one.changed);
  keyed(at('sources'), newest, source => source.name, build, update);
};

const build = source => {
  const player = new Player(source.name);
  players.set(source.name, player);
  const remove = button('remove', guarded(async () => {
    if (!confirm(say('remove_sure', {name: source.name}))) return;
    await ask('DELETE', `/api/sources/${place(source.name)}`);
    player.halt();
    await shared.refresh();
  }), {className: 'small plain', ariaLabel: say('remove_named', {name: source.name})});
  return make('li', {className: 'card'},
    make('div', {className: 'head'}, make('h3', {textContent: source.name}), make('span', {className: 'row'}, make('span', {className: 'row files'}), remove)),
    player.element);
};

const update = (element, source) => {
  const versions = shared.state.voices.filter(voice => voice.id in source.converted).map(voice => ({
    id: voice.id, label: label(voice), url: `/api/playback/${place(source.name, voice.id)}?of=${source.converted[voice.id]}`,
  }));
  const original = {id: 'source', label: say('playback_source'), url: `/api/playback/${place(source.name)}?of=${source.changed}`};
  players.get(source.name).update([original, ...versions], source.seconds);
  const voice = at('voice').value, files = element.querySelector('.files');
  const signature = voice in source.converted ? voice : '';
  if (files.dataset.voice === signature) return;
  files.dataset.voice = signature;
  files.replaceChildren(signature ? make('span', {textContent: say('download')}) : '', ...(signature ? ['wav', 'flac'] : []).map(format => make('a', {
    className: 'button small plain', textContent: say(`download_${format}`), download: '',
    ariaLabel: `${say('download')} ${source.name} ${say(`download_${format}`)}`,
    href: `/api/converted/${place(voice, source.name)}?format=${format}`,
  })));
};
