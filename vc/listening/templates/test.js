const at = id => document.getElementById(id);
const test = JSON.parse(at('test').textContent);
const make = (tag, properties, ...inside) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
};

// Progress kept when the page is closed; some browsers allow no storage.
const keep = (name, value) => {
  try { localStorage.setItem(`${test.test} ${name}`, JSON.stringify(value)); } catch { at('unkept').hidden = false; }
};
const kept = name => {
  try { return JSON.parse(localStorage.getItem(`${test.test} ${name}`)); } catch { return null; }
};
const answersOf = name => kept(`answers of ${name}`) ?? [];

// Random integers below a bound: Marsaglia's xorshift (Journal of Statistical Software 8:14, 2003), seeded with the
// FNV-1a hash of a text.
const generator = text => {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) state = Math.imul(state ^ byte, 0x01000193);
  state = state || 1;
  return below => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor((state >>> 0) / 2 ** 32 * below);
  };
};
const shuffled = (things, draw) => {
  const order = [...things];
  for (let last = order.length - 1; last > 0; last--) {
    const other = draw(last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
};
// The listener's name determines order and sides. Sides are balanced in the file; for a listener all are swapped or none.
const trialsOf = name => {
  const draw = generator(`${name} ${test.test}`);
  const swapped = draw(2) === 1;
  const trials = [...test.practice, ...shuffled(test.items, draw)];
  return trials.map(trial => ({...trial, sounds: swapped ? [...trial.sounds].reverse() : trial.sounds}));
};

let listener, trials, answers;
const show = name => {
  for (const section of document.querySelectorAll('section')) section.hidden = section.id !== name;
  scrollTo(0, 0);
};

const player = (name, sound) => {
  const audio = make('audio', {src: `data:audio/flac;base64,${test.sounds[sound]}`});
  const button = make('button', {type: 'button'}), mark = make('span', {});
  const bar = make('progress', {value: 0, max: 1, ariaLabel: `progress of ${name || 'the recording'}`});
  const whole = make('div', {className: name === 'X' ? 'player x' : 'player'}, button, bar, mark);
  const label = () => {
    whole.classList.toggle('playing', !audio.paused);
    button.textContent = `${audio.paused ? '\u25b6 Play' : '\u25a0 Stop'} ${name}`.trim();
  };
  button.onclick = () => {
    if (!audio.paused) return audio.pause();
    silence();
    audio.currentTime = 0;
    return audio.play();
  };
  audio.onplay = audio.onpause = label;
  audio.ontimeupdate = () => { bar.value = audio.currentTime / audio.duration || 0; };
  audio.onended = () => { label(); mark.textContent = '\u2713 heard'; whole.dataset.heard = 'yes'; allow(); };
  audio.onerror = () => { at('mute').hidden = false; };
  whole.prepend(audio);
  label();
  return whole;
};
const silence = () => at('players').querySelectorAll('audio').forEach(audio => audio.pause());
const allow = () => {
  const heard = [...at('players').children].every(each => each.dataset.heard);
  at('choices').disabled = at('next').disabled = !heard;
  at('hint').textContent = heard
    ? 'You may listen again before you continue.'
    : `Listen${test.grades ? '' : ' to all three'} to the end before you answer.`;
};

const option = (value, text) =>
  make('label', {}, make('input', {type: 'radio', name: 'answer', value, required: true}), text);
const options = trial => test.grades
  ? Object.keys(test.grades).sort().reverse().map(grade => option(grade, `${grade} ${test.grades[grade]}`))
  : trial.sounds.map((sound, side) => option(sound, `${'AB'[side]} is closer`));

const ask = trial => {
  const practice = test.practice.length, done = answers.length;
  at('place').textContent = done < practice
    ? `Practice ${done + 1} of ${practice}; this does not count yet`
    : `${test.grades ? 'Recording' : 'Comparison'} ${done - practice + 1} of ${test.items.length}`;
  at('progress').value = done / trials.length;
  at('begun').hidden = done !== practice;
  const played = trial.sounds.map((sound, side) => player(test.grades ? '' : 'AB'[side], sound));
  at('players').replaceChildren(...(trial.x ? [player('X', trial.x)] : []), ...played);
  at('options').replaceChildren(...options(trial));
  allow();
  show('trial');
  at('players').querySelector('button').focus();
};

const finish = () => {
  const {answers: format, version, test: digest} = test;
  const given = answers.slice(test.practice.length);
  at('result').value = JSON.stringify({format, version, test: digest, listener, answers: given}, null, 1);
  show('finish');
  at('save').focus();
};
const save = () => {
  const name = `answers_${listener.replace(/[^\p{L}\p{N}._-]+/gu, '_')}.json`;
  const url = URL.createObjectURL(new Blob([at('result').value], {type: 'application/json'}));
  make('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
};
const advance = () => (answers.length < trials.length ? ask(trials[answers.length]) : finish());

const typed = () => at('listener').value.normalize('NFC').trim().replace(/\s+/gu, ' ');
const invite = () => {
  const done = answersOf(typed()).length;
  at('start').textContent = done ? 'Continue where you left off' : 'Start';
};
at('listener').oninput = invite;
at('enter').onsubmit = event => {
  event.preventDefault();
  listener = typed();
  trials = trialsOf(listener);
  answers = answersOf(listener);
  keep('listener', listener);
  advance();
};
at('reply').onsubmit = event => {
  event.preventDefault();
  answers.push({item: trials[answers.length].id, answer: new FormData(at('reply')).get('answer')});
  keep(`answers of ${listener}`, answers);
  advance();
  if (answers.length === trials.length) save();
};
at('save').onclick = save;
at('result').onfocus = () => at('result').select();
at('listener').value = kept('listener') ?? '';
invite();
show('welcome');
