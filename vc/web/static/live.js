// Live conversion by vc-live on the machine's devices.
import {Refusal, active, ask, at, choices, guarded, keep, kept, make, place, say, shared} from './common.js';

const STATUS_INTERVAL = 150; // milliseconds between updates of the meters
const STORED_FIELDS = ['voice', 'input', 'output', 'delay', 'slack'];
let devices = null, isLooking = false, jobNumber = null, status = null, following = 0;

export const begin = () => {
  for (const name of STORED_FIELDS) at(`live-${name}`).onchange = () => { keep(`live-${name}`, at(`live-${name}`).value); preview(); };
  for (const input of at('live-form').querySelectorAll('[name=live-method]')) input.onchange = () => preview();
  for (const name of ['delay', 'slack']) if (kept(`live-${name}`)) at(`live-${name}`).value = kept(`live-${name}`);
  at('live-form').onsubmit = guarded(event => { event.preventDefault(); return start(false); });
  at('live-measure').onclick = guarded(() => start(true));
  at('live-stop').onclick = guarded(async () => {
    await ask('POST', `/api/jobs/${jobNumber}/stop`);
    await shared.refresh();
  });
  for (const key of ['mute', 'passthrough']) {
    at(`live-${key}`).onclick = guarded(() => ask('POST', `/api/jobs/${jobNumber}/press/${key}`));
  }
  at('live-devices').onclick = guarded(findDevices);
};

// Devices by the names that vc-live takes; they may be plugged in and out at any time.
const findDevices = async () => {
  if (isLooking) return;
  isLooking = true;
  at('live-missing').hidden = devices !== null;
  at('live-missing').textContent = say('live_looking');
  try {
    const found = await ask('GET', '/api/devices');
    devices = found.fault ? null : found.devices;
    at('live-missing').textContent = found.fault && say('live_missing', {reason: found.fault});
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    at('live-missing').textContent = error.message; // devices that were found before may still be there
  } finally {
    isLooking = false;
  }
  at('live-missing').hidden = !at('live-missing').textContent;
  at('live-body').hidden = devices === null;
  if (devices === null) return;
  for (const side of ['input', 'output']) {
    const select = at(`live-${side}`), first = !select.options.length;
    const usual = devices.find(each => each[`default_${side}`]);
    choices(select, [['', [
      ['', usual ? say('live_default', {name: usual.name}) : say('live_default_none')],
      ...devices.filter(each => each[`${side}s`] > 0).map(each => [`${each.name}, ${each.api}`, say('live_device', each)]),
    ]]]);
    const stored = kept(`live-${side}`);
    if (first && [...select.options].some(each => each.value === stored)) select.value = stored;
  }
  await preview();
};

const chosen = () => shared.state.voices.find(voice => voice.id === at('live-voice').value);
const number = name => at(`live-${name}`).value === '' ? null : Number(at(`live-${name}`).value);
const request = measure => ({
  voice: at('live-voice').value, method: chosen()?.live === 'linear' ? at('live-form').querySelector('[name=live-method]:checked').value : '',
  delay: number('delay'), slack: number('slack'),
  input: at('live-input').value, output: at('live-output').value, measure,
});

const start = async measure => {
  jobNumber = (await ask('POST', '/api/jobs', {kind: 'live', request: request(measure)})).number;
  status = null;
  await shared.refresh();
  at('live-stop').focus();
};

// Show the command that would run, or why the server would refuse it.
let previewNumber = 0;
const preview = async () => {
  const current = ++previewNumber, kind = chosen()?.live ?? 'linear';
  at('live-methods').hidden = kind !== 'linear';
  for (const name of ['delay', 'slack']) at(`live-${name}`).placeholder = at(`live-${name}`).dataset[kind];
  let refused = '', command = '';
  if (at('live-voice').value) {
    try {
      command = (await ask('POST', '/api/command', {kind: 'live', request: request(false)})).command;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refused = error.message;
    }
  }
  if (current !== previewNumber) return; // there is a later request
  at('live-refused').hidden = !refused;
  if (at('live-refused').textContent !== refused) at('live-refused').textContent = refused;
  at('live-command-box').hidden = !command;
  at('live-command').textContent = command;
  at('live-start').disabled = at('live-measure').disabled = !command;
};

export const render = () => {
  const {state, jobs} = shared, voices = state.voices.filter(voice => voice.live), select = at('live-voice');
  const isShown = !at('live').hidden, first = !select.options.length;
  if (isShown && devices === null && at('live-missing').hidden) guarded(findDevices)();
  const options = voices.map(voice => [voice.id, say('live_voice', {...voice, source: voice.source || say('live_anyone')})]);
  if (select.dataset.signature !== JSON.stringify([['', options]])) {
    choices(select, [['', options]]);
    if (first && options.some(([value]) => value === kept('live-voice'))) select.value = kept('live-voice');
    preview();
  }
  const running = jobs.find(job => job.kind === 'live' && active(job));
  jobNumber = running?.number ?? jobNumber;
  const job = running ?? jobs.find(each => each.number === jobNumber);
  const isOn = Boolean(running), isMeasurement = Boolean(job?.request.measure), focused = document.activeElement;
  document.querySelector('nav a[href="#live"]').textContent = say(isOn ? 'nav_live_on' : 'nav_live');
  at('live-start').hidden = at('live-measure').hidden = isOn;
  at('live-stop').hidden = !isOn;
  at('live-settings').disabled = isOn;
  if (focused?.hidden && focused === at('live-stop')) at('live-start').focus();
  if (!isOn) status = null;
  show(job, isMeasurement);
  const failed = job?.state === 'failed';
  at('live-faults').replaceChildren(...(failed ? job.lines.filter(line => line.includes(' error: ')) : [])
    .map(line => make('li', {textContent: line.replace(/^vc-\w+: error: /, '')})));
  const lines = job?.state === 'done' && isMeasurement ? job.lines.filter(line => /^(computed|measured): /.test(line)) : [];
  at('live-lines').hidden = !lines.length;
  at('live-lines').textContent = lines.join('\n');
  if (isOn && isShown && !isMeasurement && !following) follow();
};

// Update meters and figures while they are visible.
const follow = async () => {
  following = jobNumber;
  try {
    while (!at('live').hidden && shared.jobs.some(job => job.number === following && active(job))) {
      status = await ask('GET', `/api/jobs/${place(following)}/status`);
      show(shared.jobs.find(job => job.number === following), false);
      await new Promise(done => setTimeout(done, STATUS_INTERVAL));
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error; // the next reading of the jobs says why
  } finally {
    following = 0;
  }
};

const show = (job, isMeasurement) => {
  const hasStatus = Boolean(job && active(job) && status?.delay);
  at('live-session').hidden = at('live-mute').hidden = at('live-passthrough').hidden = !hasStatus;
  const message = !job ? '' : job.state === 'failed' ? say('live_failed') : !active(job) ? (isMeasurement && job.state === 'done' ? '' : say('live_ended'))
    : isMeasurement ? say('live_measuring') : !hasStatus ? say('live_starting')
      : status.muted ? say('live_on_muted') : status.passthrough ? say('live_on_passthrough')
        : say('live_on', {...status, source: status.source ?? say('live_anyone'), input: status.input_device, output: status.output_device});
  if (at('live-state').textContent !== message) at('live-state').textContent = message;
  if (!hasStatus) return;
  at('live-mute').ariaPressed = String(status.muted);
  at('live-passthrough').ariaPressed = String(status.passthrough);
  for (const side of ['in', 'out']) {
    const level = status[`level_${side}`], meter = at(`live-level-${side}`);
    meter.value = level;
    meter.nextElementSibling.textContent = level > meter.min ? say('live_decibels', {level: Math.round(level)}) : say('live_silence');
  }
  const {delay, underruns, load} = status, parts = Object.fromEntries(Object.entries(delay).map(([name, value]) => [name, Math.round(value)]));
  const total = Math.round(Object.values(delay).reduce((sum, value) => sum + value, 0));
  const figures = [say('live_figure_delay', {...parts, total}),
    underruns ? say('live_figure_underruns', {underruns}) : say('live_figure_no_underruns'),
    say('live_figure_load', {percent: Math.round(100 * load)})];
  if (at('live-figures').dataset.signature === figures.join()) return;
  at('live-figures').dataset.signature = figures.join();
  at('live-figures').replaceChildren(...figures.map(line => make('li', {textContent: line})));
};
