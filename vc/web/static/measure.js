// Reports, and blind comparisons of two models.
import {active, ask, at, button, choices, guarded, keyed, make, place, say, send, shared} from './common.js';

let testJob = null; // number of the job that makes a test
const scoreJobs = new Map(); // test -> number of the job that scores it

export const begin = () => {
  at('report-of').onchange = () => open(at('report-of').value);
  at('model-remove').onclick = guarded(async () => {
    const name = at('report-of').value;
    if (!confirm(say('remove_sure', {name}))) return;
    await ask('DELETE', `/api/exp/${place(name)}`);
    await shared.refresh();
  });
  at('blind').onsubmit = guarded(async event => {
    event.preventDefault();
    const request = {one: at('blind-one').value, other: at('blind-other').value};
    testJob = (await ask('POST', '/api/jobs', {kind: 'compare', request})).number;
    await shared.refresh();
  });
};

// A report is loaded again once it has changed.
const open = name => {
  const known = shared.state.experiments.find(each => each.name === name);
  at('report').hidden = !known?.report;
  at('report-none').hidden = !known || known.report;
  if (!known || at('report').dataset.name === `${name} ${known.report}`) return;
  at('report').dataset.name = `${name} ${known.report}`;
  at('report').title = say('measure_report', {name});
  if (known.report) at('report').src = `/frame/report/${place(name)}?of=${known.report}`;
  at('model-download').href = `/api/experiments/${place(name, 'model')}`;
};

export const render = () => {
  const {state, jobs} = shared, measured = state.experiments.filter(each => each.report || each.model);
  at('measure-none').hidden = measured.length > 0;
  at('measured').hidden = !measured.length;
  choices(at('report-of'), [['', measured.map(each => [each.name, each.name])]]);
  if (!at('measure').hidden) open(at('report-of').value);
  const comparable = state.experiments.filter(each => each.comparable).map(each => [each.name, each.name]);
  at('blind').hidden = comparable.length < 2;
  at('blind-need').hidden = comparable.length >= 2;
  const first = !at('blind-other').options.length;
  choices(at('blind-one'), [['', comparable]]);
  choices(at('blind-other'), [['', comparable]]);
  if (first && comparable.length > 1) at('blind-other').selectedIndex = 1;
  const job = jobs.find(each => each.number === testJob);
  const message = !job ? '' : active(job) ? say('blind_making') : job.state === 'failed' ? plain(job.lines) : '';
  if (at('blind-state').textContent !== message) at('blind-state').textContent = message;
  keyed(at('tests'), state.tests, name => name, build, update);
};

const plain = lines => lines.map(line => line.replace(/^vc-\w+: (error: )?/, '')).join(' ');

const build = name => {
  const frame = make('iframe', {title: say('blind_frame', {name}), hidden: true});
  frame.setAttribute('sandbox', 'allow-scripts allow-downloads allow-forms');
  const toggle = button('blind_open', () => {
    frame.hidden = !frame.hidden;
    if (!frame.hidden) frame.src = `/frame/test/${place(name)}`;
    toggle.textContent = say(frame.hidden ? 'blind_open' : 'blind_close');
    toggle.ariaLabel = say(frame.hidden ? 'blind_open_named' : 'blind_close_named', {name});
    toggle.ariaExpanded = String(!frame.hidden);
  }, {ariaExpanded: 'false', ariaLabel: say('blind_open_named', {name})});
  const input = make('input', {type: 'file', accept: '.json', ariaLabel: say('blind_answers', {name})});
  input.onchange = guarded(async () => {
    const [file] = input.files;
    input.value = '';
    await send('PUT', `/api/tests/${place(name, 'answers')}`, file);
    scoreJobs.set(name, (await ask('POST', '/api/jobs', {kind: 'score', request: {test: name}})).number);
    await shared.refresh();
  });
  const remove = button('remove', guarded(async () => {
    if (!confirm(say('remove_sure', {name}))) return;
    await ask('DELETE', `/api/tests/${place(name)}`);
    await shared.refresh();
  }), {className: 'small plain', ariaLabel: say('remove_named', {name})});
  const answers = make('label', {className: 'button plain file', textContent: say('blind_answers', {name: ''})}, input);
  return make('li', {className: 'test'}, make('div', {className: 'head'}, make('h3', {textContent: name}),
    make('span', {className: 'row'}, toggle, answers, remove)), frame, make('pre', {className: 'score', hidden: true, tabIndex: 0, ariaLabel: say('blind_scores', {name})}));
};

const update = (element, name) => {
  const job = shared.jobs.find(each => each.number === scoreJobs.get(name)), box = element.querySelector('.score');
  box.hidden = !job || active(job);
  if (job && !active(job)) box.textContent = job.lines.join('\n');
};
