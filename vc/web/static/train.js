// Recordings of target and source, a method, and the trainings.
import {Refusal, active, announce, ask, at, button, duration, guarded, keyed, make, place, say, shared} from './common.js';
import {choose} from './convert.js';
import {Pile} from './pile.js';

const METHODS = ['recognition_synthesis', 'nearest', 'unit_selection', 'cyclegan_vc2_narrow'];
const PAIRS = ['nearest', 'cyclegan_vc2_narrow'];
let target, source, checkNumber = null, nameIsTyped = false;
const knownStates = new Map(); // of trainings, by number

export const begin = () => {
  [target, source] = ['target', 'source'].map(side => new Pile(at(`${side}-pile`), () => preview()));
  at('train').append(make('datalist', {id: 'speakers'}));
  at('methods').append(...METHODS.map((name, number) => make('label', {},
    make('input', {type: 'radio', name: 'method', value: name, checked: number === 0, onchange: () => preview()}),
    say(`method_name_${name}`), make('small', {textContent: say(`method_${name}`)}))));
  at('model-name').oninput = () => { nameIsTyped = at('model-name').value !== ''; preview(); };
  at('steps').oninput = () => preview();
  at('train-form').onsubmit = guarded(async event => {
    event.preventDefault();
    const job = await ask('POST', '/api/jobs', {kind: 'train', request: request()});
    await shared.refresh();
    at('queue').querySelector(`[data-key="${job.number}"]`)?.scrollIntoView({block: 'nearest'});
  });
  at('check').onclick = guarded(async () => {
    const speakers = [source, target].filter(pile => pile.recordings.length).map(pile => pile.speaker.name);
    checkNumber = (await ask('POST', '/api/jobs', {kind: 'check', request: {speakers: [...new Set(speakers)]}})).number;
    await shared.refresh();
  });
};

const request = () => {
  const config = at('methods').querySelector(':checked').value, steps = Number(at('steps').value) || 0;
  return {target: target.folderName, source: source.recordings.length ? source.speaker.name : '', config, output: at('model-name').value, steps};
};

// Show the command that would run, or why the server would refuse it.
let previewNumber = 0;
const preview = async () => {
  if (!nameIsTyped) {
    const names = [source, target].filter(pile => pile.recordings.length).map(pile => pile.folderName);
    at('model-name').value = names.join('-').replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 80);
  }
  for (const input of at('methods').querySelectorAll('input')) {
    input.disabled = PAIRS.includes(input.value) && !source.recordings.length;
    if (input.disabled && input.checked) at('methods').querySelector('input').checked = true;
  }
  const isSame = target.recordings.length && target.speaker === source.speaker, number = ++previewNumber;
  at('check').disabled = !target.recordings.length && !source.recordings.length;
  let refused = isSame ? say('pile_shared') : '', command = '';
  if (target.recordings.length && !isSame && at('model-name').value) {
    try {
      command = (await ask('POST', '/api/command', {kind: 'train', request: request()})).command;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refused = error.message;
    }
  }
  if (number !== previewNumber) return; // there is a later request
  at('train-refused').hidden = !refused;
  if (at('train-refused').textContent !== refused) at('train-refused').textContent = refused;
  const exists = shared.state.experiments.some(each => each.name === at('model-name').value);
  at('model-name-hint').textContent = say(exists ? 'train_go_on' : 'model_name_hint');
  at('command-box').hidden = !command;
  at('command').textContent = command;
  at('train-start').disabled = !command;
  estimate(exists ? '' : command);
};

// Estimate how long a training takes once nothing has changed for a while: that takes some seconds of CPU.
const ESTIMATE_DELAY = 1500; // milliseconds
const estimates = new Map(); // by command and number of recordings
let estimateKey = null, estimateTimer = 0; // key of the current estimate; null: none yet
const estimate = command => {
  const key = `${command} ${source.recordings.length} ${target.recordings.length}`;
  if (key === estimateKey) return;
  estimateKey = key;
  clearTimeout(estimateTimer);
  at('train-estimate').textContent = estimates.get(key) ?? '';
  if (!command || estimates.has(key)) return;
  estimateTimer = setTimeout(async () => {
    if (at('train').hidden) {
      estimateKey = null;
      return;
    }
    at('train-estimate').textContent = say('train_estimating');
    let message = '';
    try {
      message = say('train_estimate', await ask('POST', '/api/estimate', {kind: 'train', request: request()}));
      estimates.set(key, message);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      message = say('train_estimate_none', {reason: error.message});
    }
    if (estimateKey === key) at('train-estimate').textContent = message;
  }, ESTIMATE_DELAY);
};

export const render = () => {
  const names = shared.state.speakers.map(each => each.name), list = at('speakers');
  if (list.dataset.names !== names.join('/')) {
    list.dataset.names = names.join('/');
    list.replaceChildren(...names.map(value => make('option', {value})));
  }
  target.render();
  source.render();
  const signature = JSON.stringify([target.folderName, target.recordings.length, source.folderName, source.recordings.length]);
  if (at('train-form').dataset.signature !== signature || (estimateKey === null && !at('train').hidden)) {
    at('train-form').dataset.signature = signature;
    preview();
  }
  renderCheck();
  const trainings = shared.jobs.filter(job => job.kind === 'train');
  at('queue-empty').hidden = trainings.length > 0;
  keyed(at('queue'), trainings, job => job.number, build, update);
  for (const job of trainings) {
    const key = {done: 'train_done', failed: 'train_failed'}[job.state];
    if (key && knownStates.has(job.number) && knownStates.get(job.number) !== job.state) announce(say(key, {name: job.request.output}));
    knownStates.set(job.number, job.state);
  }
};

const renderCheck = () => {
  const job = shared.jobs.find(each => each.number === checkNumber), box = at('check-result');
  const signature = job ? `${job.number} ${job.state}` : '';
  if (box.dataset.signature === signature) return;
  box.dataset.signature = signature;
  if (!job) return box.replaceChildren();
  if (active(job)) return box.replaceChildren(make('p', {textContent: say('check_running')}));
  const plain = line => line.replace(/^vc-prepare: /, '').replace(/^(warning|error): \S*checked\S*: /, '');
  const lines = job.lines.filter(line => / (warning|error): /.test(line)).map(plain);
  return box.replaceChildren(make('h3', {textContent: say('check_title')}),
    lines.length ? make('ul', {}, ...lines.map(line => make('li', {textContent: line}))) : make('p', {textContent: say('check_fine')}),
    make('pre', {textContent: job.command, tabIndex: 0, ariaLabel: say('train_command')}));
};

const act = (job, what) => guarded(async () => {
  if (what === 'stop') announce(say('job_stopping'));
  await ask('POST', `/api/jobs/${job.number}/${what}`);
  await shared.refresh();
});

const build = job => {
  const {number} = job, name = job.request.output;
  const log = make('pre', {tabIndex: 0, ariaLabel: say('log')});
  const command = make('pre', {textContent: job.command, tabIndex: 0, ariaLabel: say('train_command')});
  const details = make('details', {}, make('summary', {textContent: say('log')}), command, log);
  details.ontoggle = guarded(async () => {
    if (details.open) log.textContent = (await ask('GET', `/api/jobs/${number}`)).log.join('\n');
  });
  const element = make('li', {className: 'card'},
    make('div', {className: 'head'}, make('h3', {textContent: name}), make('span', {className: 'state'})),
    make('p', {className: 'stage', role: 'status'}), make('progress', {ariaLabel: name}),
    make('ul', {className: 'faults'}),
    make('p', {className: 'action'}),
    make('div', {className: 'curves'}),
    make('details', {className: 'listen'}, make('summary', {textContent: say('samples')}), make('div', {className: 'samples'})),
    details);
  return element;
};

const stage = ({state, progress, verdict}) => {
  if (state !== 'running') return verdict;
  const [done, count] = progress.conversions;
  if (progress.stage === 'measuring') return done < count ? say('stage_measuring', {done, count}) : say('stage_judging');
  if (progress.stage === 'preparing') return say('stage_preparing');
  if (!progress.steps) return say('stage_training');
  const left = progress.seconds_left === null ? '' : `, ${say('time_left', {time: duration(progress.seconds_left)})}`;
  return say('stage_training_steps', progress) + left;
};

const update = (element, job) => {
  const find = name => element.querySelector(name), {progress} = job;
  const badge = find('.state'), bar = find('progress');
  badge.textContent = say(`state_${job.state}`);
  badge.className = `state ${job.state}`;
  const message = stage(job);
  if (find('.stage').textContent !== message) find('.stage').textContent = message;
  bar.hidden = job.state !== 'running';
  const share = progress.stage === 'training' && progress.steps ? progress.step / progress.steps
    : progress.stage === 'measuring' && progress.conversions[0] < progress.conversions[1] ? progress.conversions[0] / progress.conversions[1] : null;
  if (share === null) bar.removeAttribute('value');
  else bar.value = share;
  const faults = job.state === 'failed' ? job.lines.filter(line => line.includes(' error: ')) : [];
  find('.faults').replaceChildren(...faults.map(line => make('li', {textContent: line.replace(/^vc-\w+: error: /, '')})));
  actions(find('.action'), job);
  curves(find('.curves'), progress.curves);
  samples(find('.listen'), job);
};

const actions = (holder, job) => {
  const known = shared.state.experiments.find(each => each.name === job.request.output);
  const ready = job.state === 'done' && shared.state.voices.some(voice => voice.model === job.request.output);
  const signature = JSON.stringify([job.state, known?.report, ready]);
  if (holder.dataset.signature === signature) return;
  holder.dataset.signature = signature;
  const focused = holder.contains(document.activeElement);
  holder.replaceChildren();
  if (ready) holder.append(button('train_result_convert', () => { choose(job.request.output); location.hash = '#convert'; }, {className: 'main'}));
  if (job.state === 'done' && known?.report) {
    holder.append(button('train_result_report', () => { location.hash = '#measure'; at('report-of').value = known.name; at('report-of').onchange(); }));
  }
  if (active(job)) holder.append(button('stop', act(job, 'stop')));
  if (job.state === 'stopped') holder.append(button('go_on', act(job, 'resume'), {className: 'main'}));
  if (job.state === 'failed') holder.append(button('try_again', act(job, 'resume'), {className: 'main'}));
  if (!active(job)) {
    holder.append(button('forget', guarded(async () => {
      await ask('DELETE', `/api/jobs/${job.number}`);
      await shared.refresh();
    }), {className: 'plain'}));
  }
  if (focused) holder.querySelector('button')?.focus();
};

const SVG = 'http://www.w3.org/2000/svg';
const svgElement = (name, properties) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  return element;
};
const figure = (name, points) => {
  const [first, last] = [points[0], points.at(-1)], values = points.map(([, value]) => value);
  const low = Math.min(...values), range = Math.max(...values) - low || 1, steps = last[0] - first[0] || 1;
  const at = ([step, value]) => `${(100 * (step - first[0]) / steps).toFixed(2)} ${(38 - 36 * (value - low) / range).toFixed(2)}`;
  const label = say('curve_label', {name: name.replaceAll('_', ' '), first: first[1].toPrecision(3), start: first[0], last: last[1].toPrecision(3), end: last[0]});
  const picture = svgElement('svg', {viewBox: '0 0 100 40', preserveAspectRatio: 'none', role: 'img', 'aria-label': label});
  picture.append(svgElement('path', {d: `M${points.map(at).join('L')}`}));
  return make('figure', {}, make('figcaption', {textContent: label}), picture);
};
const curves = (holder, all) => {
  const drawable = Object.entries(all).filter(([, points]) => points.length > 1);
  const signature = JSON.stringify(drawable.map(([name, points]) => [name, points.length, points.at(-1)]));
  if (holder.dataset.signature === signature) return;
  holder.dataset.signature = signature;
  holder.replaceChildren(...drawable.map(([name, points]) => figure(name, points)));
};

// Samples during training, the newest first.
const samples = (holder, job) => {
  const names = job.progress.samples;
  holder.hidden = !names.length;
  if (holder.dataset.names === names.join('/')) return;
  holder.dataset.names = names.join('/');
  holder.querySelector('.samples').replaceChildren(...[...names].reverse().map(file => {
    const [, name, step] = file.match(/^(.*)-(\d+)\.wav$/) ?? [null, file, '0'];
    const label = say('sample_step', {name, step: Number(step)});
    return make('p', {}, make('span', {textContent: label}),
      make('audio', {controls: true, preload: 'none', ariaLabel: label, src: `/api/experiments/${place(job.request.output, 'samples', file)}`}));
  }));
};
