// One speaker's recordings, dropped or read aloud, with their length and condition.
import {ask, at, button, guarded, keep, kept, keyed, make, place, prompts, say, shared} from './common.js';
import {intake} from './intake.js';
import {recorder} from './recorder.js';

const LITTLE = 2, PLENTY = 5; // minutes of speech
const NOISY = 20; // dB between voice and background, below which the background is audible
const DULL = 5000; // Hz; telephone calls have a lower bandwidth
const FAINT = -45; // dB of full scale
const WANTED = 5; // times that each sound should be read
const PROMPT = /^prompt-(\d+)(-\d+)?\./;

const median = values => [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
const counts = phones => phones.reduce((all, phone) => all.set(phone, (all.get(phone) ?? 0) + 1), new Map());
const inventory = new Set(prompts.flatMap(prompt => prompt.phones.split(' ')));

// Fraction of the sounds of English that were read, each WANTED times at most.
export const coverage = names => {
  const read = new Set(names.map(name => name.match(PROMPT)?.[1]));
  const phones = counts(prompts.filter(prompt => read.has(prompt.id)).flatMap(prompt => prompt.phones.split(' ')));
  return [...inventory].reduce((sum, phone) => sum + Math.min(WANTED, phones.get(phone) ?? 0), 0) / WANTED / inventory.size;
};

export class Pile {
  constructor(holder, changed) {
    const side = holder.dataset.side, id = `${side}-name`;
    this.side = side;
    this.changed = changed;
    this.conditions = new Map(); // of the speaker: condition by recording
    this.name = make('input', {type: 'text', id, maxLength: 80, autocomplete: 'off', spellcheck: false, ariaDescribedBy: `${id}-hint`});
    this.name.setAttribute('list', 'speakers');
    this.name.value = kept(side);
    this.name.onchange = () => this.changeSpeaker();
    this.uploads = intake(holder.dataset.extensions, () => `/api/recordings/${place(this.folderName)}`, condition => {
      this.name.value = condition.folder;
      keep(side, condition.folder);
      this.conditions.set(condition.name, condition);
    });
    this.summary = make('p', {role: 'status'});
    this.meter = make('meter', {min: 0, max: PLENTY, low: LITTLE, high: LITTLE, optimum: PLENTY, value: 0, ariaLabel: say('pile_minutes')});
    this.advice = make('ul', {className: 'words'});
    this.list = make('ul', {className: 'plain-list tight'});
    this.removeAll = make('button', {type: 'button', className: 'small plain', onclick: guarded(() => this.remove())});
    this.files = make('details', {}, make('summary', {textContent: say('pile_files')}), this.list, make('p', {}, this.removeAll));
    this.prompts = new Prompts(this);
    holder.append(
      make('p', {className: 'field wide'}, make('label', {htmlFor: id, textContent: say('pile_name')}), this.name,
        make('small', {id: `${id}-hint`, textContent: say(`train_${side}_hint`)})),
      ...this.uploads.elements, this.prompts.element, this.summary, this.meter, this.advice, this.files);
  }

  // Name of the folder, which need not exist yet.
  get folderName() {
    return this.name.value.trim() || say(`pile_default_${this.side}`);
  }

  get speaker() {
    return shared.state.speakers.find(each => each.name === this.name.value.trim());
  }

  get recordings() {
    return this.speaker?.recordings ?? [];
  }

  changeSpeaker() {
    keep(this.side, this.name.value);
    this.conditions = new Map();
    this.prompts.hasPlace = false;
    this.render();
    this.changed();
  }

  // Remove all recordings, as if a speaker withdraws their agreement.
  async remove() {
    const {name} = this.speaker;
    if (!confirm(say('remove_sure', {name}))) return;
    await ask('DELETE', `/api/recordings/${place(name)}`);
    await shared.refresh();
  }

  // Measure recordings that this page did not upload, once they are visible.
  async measure() {
    const speaker = this.speaker;
    if (!speaker || this.isMeasuring || speaker.recordings.every(each => this.conditions.has(each.name))) return;
    this.isMeasuring = true;
    try {
      const known = await ask('GET', `/api/recordings/${place(speaker.name)}`);
      if (this.speaker?.name === speaker.name) for (const [name, condition] of Object.entries(known)) this.conditions.set(name, condition);
    } finally {
      this.isMeasuring = false;
    }
    this.render();
  }

  render() {
    const recordings = this.recordings, known = recordings.map(each => this.conditions.get(each.name));
    if (!at('train').hidden && !known.every(condition => condition !== undefined)) guarded(() => this.measure())();
    const read = known.filter(Boolean), minutes = read.reduce((sum, each) => sum + each.speech, 0) / 60;
    const total = recordings.reduce((sum, each) => sum + (each.seconds ?? 0), 0) / 60;
    this.meter.hidden = this.files.hidden = !recordings.length;
    this.meter.value = minutes;
    this.removeAll.textContent = say('pile_remove', {name: this.folderName});
    const message = !recordings.length ? say('pile_empty') : say('pile_summary', {count: recordings.length,
      minutes: total.toFixed(1), speech: read.length ? minutes.toFixed(1) : '...'});
    if (this.summary.textContent !== message) this.summary.textContent = message;
    this.renderAdvice(known, read, minutes);
    keyed(this.list, recordings, each => each.name, each => this.row(each), () => {});
    this.prompts.render();
  }

  renderAdvice(known, read, minutes) {
    const advice = [];
    const add = (fine, key, values) => advice.push([fine, say(key, values)]);
    if (read.length) {
      const ratio = median(read.map(each => each.level - each.noise)), bandwidth = median(read.map(each => each.bandwidth));
      const level = median(read.map(each => each.level));
      if (this.side === 'target') {
        if (minutes < LITTLE) add(false, 'pile_little');
        else add(true, minutes < PLENTY ? 'pile_enough' : 'pile_plenty');
      }
      add(ratio >= NOISY, ratio >= NOISY ? 'pile_clean' : 'pile_noisy', {decibels: Math.round(ratio)});
      if (bandwidth < DULL) add(false, 'pile_dull', {kilohertz: (bandwidth / 1000).toFixed(1)});
      if (level < FAINT) add(false, 'pile_faint', {decibels: Math.round(level)});
    }
    const unread = known.filter(condition => condition === null).length;
    if (unread) add(false, 'pile_unread', {count: unread});
    const signature = JSON.stringify(advice);
    if (this.advice.dataset.signature === signature) return;
    this.advice.dataset.signature = signature;
    this.advice.replaceChildren(...advice.map(([fine, line]) => make('li', {className: fine ? 'fine' : 'doubtful', textContent: line})));
  }

  row({name, seconds}) {
    const speaker = this.speaker.name;
    const audio = make('audio', {controls: true, preload: 'none', ariaLabel: name, src: `/api/recordings/${place(speaker, name)}`});
    const remove = button('remove', guarded(async () => {
      await ask('DELETE', `/api/recordings/${place(speaker, name)}`);
      await shared.refresh();
    }), {className: 'small plain', ariaLabel: say('remove_named', {name})});
    const length = seconds === null ? '' : ` ${say('seconds', {seconds: seconds.toFixed(1)})}`;
    return make('li', {}, make('div', {className: 'head'}, make('span', {textContent: name + length}), remove), audio);
  }
}

// Sentences to read, one after the other.
class Prompts {
  constructor(pile) {
    this.pile = pile;
    this.number = 0;
    this.place = make('p', {className: 'quiet', ariaLive: 'polite'});
    this.sentence = make('p', {className: 'sentence', ariaLive: 'polite'});
    this.recorder = recorder(() => `prompt-${prompts[this.number].id}`, file => this.add(file));
    this.meter = make('meter', {min: 0, max: 1, low: 0.7, high: 0.7, optimum: 1, ariaLabel: say('prompts_coverage')});
    this.coverage = make('small');
    this.panel = make('div', {className: 'prompt', hidden: true},
      make('p', {textContent: say('prompts_how')}), this.place, this.sentence, this.recorder.element,
      make('p', {className: 'row'}, button('prompts_previous', () => this.move(-1), {className: 'small plain'}),
        button('prompts_next', () => this.move(1), {className: 'small plain'})),
      make('div', {}, this.meter, this.coverage));
    this.toggleButton = button('prompts_open', () => this.toggle(), {ariaExpanded: 'false'});
    this.element = make('div', {className: 'prompts'}, make('p', {}, this.toggleButton), this.panel);
  }

  toggle() {
    this.panel.hidden = !this.panel.hidden;
    this.toggleButton.textContent = say(this.panel.hidden ? 'prompts_open' : 'prompts_close');
    this.toggleButton.ariaExpanded = String(!this.panel.hidden);
    if (this.panel.hidden) this.recorder.stop();
    this.render();
  }

  move(by) {
    this.number = (this.number + by + prompts.length) % prompts.length;
    this.render();
  }

  // A new recording of a sentence replaces the earlier one.
  async add(file) {
    const {id} = prompts[this.number];
    const before = this.pile.recordings.find(each => each.name.match(PROMPT)?.[1] === id);
    await this.pile.uploads.add([file]);
    const after = this.pile.recordings.filter(each => each.name.match(PROMPT)?.[1] === id);
    if (before && after.length > 1) {
      await ask('DELETE', `/api/recordings/${place(this.pile.folderName, before.name)}`);
      await shared.refresh();
    }
    if (after.length) this.move(1);
  }

  render() {
    if (this.panel.hidden) return;
    const names = this.pile.recordings.map(each => each.name), read = new Set(names.map(name => name.match(PROMPT)?.[1]));
    if (!this.hasPlace) { // begin with the first sentence that is not recorded
      this.hasPlace = true;
      this.number = Math.max(0, prompts.findIndex(prompt => !read.has(prompt.id)));
    }
    const {id, text} = prompts[this.number], again = read.has(id) ? ` (${say('prompts_again')})` : '';
    const message = say('prompts_place', {number: this.number + 1, count: prompts.length}) + again;
    if (this.place.textContent !== message) this.place.textContent = message;
    if (this.sentence.textContent !== text) this.sentence.textContent = text;
    const share = coverage(names), others = names.some(name => !PROMPT.test(name));
    this.meter.value = share;
    this.coverage.textContent = say('prompts_covered', {percent: Math.round(100 * share)}) + (others ? ` ${say('prompts_unknown')}` : '');
  }
}
