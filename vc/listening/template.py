"""The fixed parts of the listeners' page: frame, style, script and what it tells them."""

from string import Template

from vc.report.html import HEAD

TASK = {
    "mos": """
<p>You will hear short recordings of speech, one at a time. Some were made by a machine. Say how
<strong>natural</strong> each one sounds: how much like a person who is speaking. It does not matter what is said, or
whether you like the voice.</p>
<p>There are five grades, from <strong>5, Excellent</strong>, as natural as a person, down to <strong>1, Bad</strong>,
not natural at all. Use the whole scale, and trust your first impression; there are no wrong answers.</p>
""",
    "abx": """
<p>You will hear three short recordings at a time: <strong>X</strong>, <strong>A</strong> and <strong>B</strong>. Say
which of A and B is <strong>nearer in voice to X</strong>: which of the two could rather be the same person as X.</p>
<p>X says another sentence than A and B. Do not mind the words, nor how clear the recordings are; listen for who is
speaking. If you cannot tell, take the one that you would rather guess.</p>
""",
}
QUESTION = {"mos": "How natural does this speech sound?", "abx": "Whose voice is nearer to X?"}

STYLE = """
:root { color-scheme: light dark; --accent: #0a5a9c; --on-accent: #fff; --line: #767676; --ground: #8882; }
@media (prefers-color-scheme: dark) { :root { --accent: #8cc4f5; --on-accent: #06263f; --line: #8f8f8f; } }
* { box-sizing: border-box; }
body { font: 18px/1.5 system-ui, sans-serif; max-width: 38rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; line-height: 1.25; }
li { margin: .3rem 0; }
button { font: inherit; font-weight: bold; min-height: 3rem; padding: .4rem 1.5rem; border-radius: .5rem;
  border: 2px solid var(--accent); background: var(--accent); color: var(--on-accent); cursor: pointer; }
button:disabled { border-color: var(--line); background: none; color: GrayText; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
label.name { display: block; font-weight: bold; }
input[type=text] { font: inherit; width: 100%; min-height: 3rem; padding: .4rem .7rem; margin: .3rem 0;
  border: 2px solid var(--line); border-radius: .5rem; }
small { display: block; }
.note { border-left: .3rem solid var(--accent); background: var(--ground); padding: .5rem 1rem; }
#place { margin: 0; }
#progress { width: 100%; accent-color: var(--accent); }
.player { display: grid; grid-template-columns: 10rem 1fr 5rem; gap: 1rem; align-items: center; margin: .8rem 0; }
.player span { white-space: nowrap; }
.player button { padding: .4rem; }
.player.playing button { background: none; color: inherit; }
.player progress { width: 100%; accent-color: var(--accent); }
.x { padding-bottom: .8rem; border-bottom: 1px solid var(--line); }
fieldset { border: 0; margin: 1rem 0 0; padding: 0; min-width: 0; }
legend { font-size: 1.3rem; font-weight: bold; line-height: 1.25; padding: 0; }
fieldset label { display: flex; align-items: center; gap: .8rem; min-height: 3rem; padding: .3rem .8rem;
  margin: .4rem 0; border: 2px solid var(--line); border-radius: .5rem; cursor: pointer; }
fieldset:disabled label { color: GrayText; cursor: default; }
fieldset label:has(:checked) { border-color: var(--accent); background: var(--ground); }
fieldset input { width: 1.3rem; height: 1.3rem; margin: 0; accent-color: var(--accent); }
textarea { width: 100%; height: 12rem; font: 14px/1.4 ui-monospace, monospace; }
@media (max-width: 30rem) { .player { grid-template-columns: 7.5rem 1fr 4.5rem; gap: .6rem; } }
"""

SCRIPT = """
const at = id => document.getElementById(id);
const test = JSON.parse(at('test').textContent);
const make = (tag, properties, ...inside) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
};

// What stays when the page is closed; some browsers let a page keep nothing.
const keep = (name, value) => {
  try { localStorage.setItem(`${test.test} ${name}`, JSON.stringify(value)); } catch { at('unkept').hidden = false; }
};
const kept = name => {
  try { return JSON.parse(localStorage.getItem(`${test.test} ${name}`)); } catch { return null; }
};
const answersOf = name => kept(`answers of ${name}`) ?? [];

// Whole numbers below one that is given: Marsaglia's xorshift (Journal of Statistical Software 8:14, 2003), which
// begins with the FNV-1a hash of a text.
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
// A listener's order and sides follow from the name. Sides are balanced in the file; all are swapped, or none.
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
  const bar = make('progress', {value: 0, max: 1, ariaLabel: `how much of ${name || 'the recording'} was played`});
  const whole = make('div', {className: name === 'X' ? 'player x' : 'player'}, button, bar, mark);
  const label = () => {
    whole.classList.toggle('playing', !audio.paused);
    button.textContent = `${audio.paused ? '\\u25b6 Play' : '\\u25a0 Stop'} ${name}`.trim();
  };
  button.onclick = () => {
    if (!audio.paused) return audio.pause();
    silence();
    audio.currentTime = 0;
    return audio.play();
  };
  audio.onplay = audio.onpause = label;
  audio.ontimeupdate = () => { bar.value = audio.currentTime / audio.duration || 0; };
  audio.onended = () => { label(); mark.textContent = '\\u2713 heard'; whole.dataset.heard = 'yes'; allow(); };
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
    ? 'You may listen again before you go on.'
    : `Listen${test.grades ? '' : ' to all three'} to the end first; then you can answer.`;
};

const option = (value, text) =>
  make('label', {}, make('input', {type: 'radio', name: 'answer', value, required: true}), text);
const options = trial => test.grades
  ? Object.keys(test.grades).sort().reverse().map(grade => option(grade, `${grade} ${test.grades[grade]}`))
  : trial.sounds.map((sound, side) => option(sound, `${'AB'[side]} is nearer`));

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
  const name = `answers_${listener.replace(/[^\\p{L}\\p{N}._-]+/gu, '_')}.json`;
  const url = URL.createObjectURL(new Blob([at('result').value], {type: 'application/json'}));
  make('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
};
const advance = () => (answers.length < trials.length ? ask(trials[answers.length]) : finish());

const typed = () => at('listener').value.normalize('NFC').trim().replace(/\\s+/gu, ' ');
const invite = () => {
  const done = answersOf(typed()).length;
  at('start').textContent = done ? 'Go on where you were' : 'Start';
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
"""

PAGE = Template(
    HEAD
    + """<noscript><p class="note">This page needs JavaScript: please allow it, or take another browser.</p></noscript>
<p class="note" id="unkept" hidden>This browser keeps nothing when the page is closed: please finish in one go.</p>
<p class="note" id="mute" hidden>This browser cannot play the recordings: please open the page in another one.</p>
<section id="welcome" hidden>
<h2>What you are asked to do</h2>
$task
<ul>
<li>$length, after a practice that does not count.</li>
<li>Please use <strong>headphones</strong>, in a quiet place. Set the volume during the practice, then leave it.</li>
<li>Press Play and listen to the end; then choose an answer and press Next. You cannot go back.</li>
<li>You may close the page and go on later, in the same browser.</li>
<li>Nothing is sent anywhere. At the end the page saves a file of your answers; give it to whoever asked you.</li>
</ul>
<form id="enter">
<label class="name" for="listener">Your name, or the code that you were given</label>
<input type="text" id="listener" required pattern=".*\\S.*" maxlength="60" autocomplete="off" spellcheck="false"
 aria-describedby="why">
<small id="why">It is written into the file of answers, and decides the order of what you hear.</small>
<p><button id="start">Start</button></p>
</form>
</section>
<section id="trial" hidden>
<p id="place" role="status"></p>
<progress id="progress" aria-labelledby="place" value="0" max="1"></progress>
<p class="note" id="begun" hidden>The practice is over. From now on your answers count.</p>
<div id="players"></div>
<form id="reply">
<fieldset id="choices" disabled>
<legend>$question</legend>
<div id="options"></div>
</fieldset>
<p id="hint" role="status"></p>
<p><button id="next">Next</button></p>
</form>
</section>
<section id="finish" hidden>
<h2>Thank you, that was all</h2>
<p>Your answers are in a file that this browser has just saved, among your downloads: its name begins with
<strong>answers_</strong>. Please give that file to the person who asked you.</p>
<p><button type="button" id="save">Save the file again</button></p>
<p><label for="result">If there is no file, copy this text and send it instead:</label></p>
<textarea id="result" readonly></textarea>
</section>
</main>
<script type="application/json" id="test">$data</script>
<script>$script</script>
</body>
</html>
"""
)
