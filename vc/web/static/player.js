// Plays several versions of a recording in step and equally loud, only one of them audible.
import {button, clock, make, say, send} from './common.js';

const LEVEL = -23; // dB of full scale, of speech; lower where a peak would clip
const FADE = 0.008; // seconds
let context = null, playing = null;

export class Player {
  constructor(name) {
    this.name = name;
    this.versions = new Map(); // id -> {label, url, buffer, level}
    this.place = 0;
    this.nodes = null;
    this.button = button('play', () => this.toggle(), {className: 'main'});
    this.range = make('input', {type: 'range', min: 0, max: 1, step: 0.01, value: 0, ariaLabel: say('playback_place', {name})});
    this.range.oninput = () => this.seek(Number(this.range.value));
    this.time = make('span', {className: 'time'});
    this.options = make('fieldset', {className: 'switch'},
      make('legend', {className: 'hidden', textContent: say('playback_choose', {name})}));
    this.part = make('p', {className: 'quiet', textContent: say('playback_part'), hidden: true});
    this.element = make('div', {className: 'player'}, this.options,
      make('div', {className: 'transport'}, this.button, this.range, this.time), this.part);
  }

  // Versions as [{id, label, url}], the source first; versions that stay remain loaded.
  update(versions, seconds) {
    this.part.hidden = !(seconds > 300);
    this.length ??= Math.min(seconds ?? 0, 300);
    const signature = JSON.stringify(versions);
    if (signature === this.signature) return;
    const before = this.versions, chosen = this.chosen, added = versions.filter(each => !before.has(each.id));
    this.signature = signature;
    this.halt();
    this.versions = new Map(versions.map(each => {
      const known = before.get(each.id);
      return [each.id, known?.url === each.url ? known : {...each}];
    }));
    const changed = versions.filter(each => before.size && before.get(each.id)?.url !== each.url);
    const newest = changed.at(-1) ?? added.at(-1);
    const chosenId = newest?.id ?? (this.versions.has(chosen) ? chosen : versions.at(-1).id);
    const group = `version-${this.name}`;
    this.options.replaceChildren(this.options.firstElementChild, ...versions.map(({id, label}) =>
      make('label', {}, make('input', {type: 'radio', name: group, value: id, checked: id === chosenId, onchange: () => this.switch()}), label)));
    this.show();
  }

  get chosen() {
    return this.options.querySelector('input:checked')?.value;
  }

  get now() {
    return this.nodes ? Math.min(this.length, context.currentTime - this.began) : this.place;
  }

  async toggle() {
    if (this.nodes) {
      this.place = this.now;
      this.halt();
    } else {
      await this.play();
    }
    this.show();
  }

  async play() {
    playing?.pause();
    context ??= new AudioContext();
    await context.resume();
    this.button.textContent = say('playback_loading');
    this.button.disabled = true;
    try {
      await Promise.all([...this.versions.values()].map(load));
    } finally {
      this.button.disabled = false;
    }
    const all = [...this.versions.values()];
    this.length = Math.max(...all.map(each => each.buffer.duration));
    if (this.place >= this.length - 0.05) this.place = 0;
    const level = Math.min(LEVEL, ...all.map(each => each.level - each.peak));
    this.began = context.currentTime + 0.02 - this.place;
    this.nodes = new Map([...this.versions].map(([id, each]) => {
      const source = new AudioBufferSourceNode(context, {buffer: each.buffer});
      const gain = new GainNode(context, {gain: 0});
      source.connect(gain).connect(context.destination);
      source.start(this.began + this.place, this.place);
      return [id, {source, gain, factor: 10 ** ((level - each.level) / 20)}];
    }));
    playing = this;
    this.switch();
    this.follow();
  }

  pause() {
    this.place = this.now;
    this.halt();
    this.show();
  }

  halt() {
    if (playing === this) playing = null;
    this.nodes?.forEach(({source}) => source.stop());
    this.nodes = null;
  }

  // Set the gains, so that only the chosen version is audible.
  switch() {
    this.nodes?.forEach(({gain, factor}, id) => {
      gain.gain.setTargetAtTime(id === this.chosen ? factor : 0, context.currentTime, FADE);
    });
    this.element.dataset.version = this.chosen;
  }

  async seek(place) {
    const wasPlaying = Boolean(this.nodes);
    this.halt();
    this.place = place;
    if (wasPlaying) await this.play();
    this.show();
  }

  follow() {
    if (!this.nodes) return;
    if (this.now >= this.length) {
      this.halt();
      this.place = 0;
    }
    this.show();
    if (this.nodes) requestAnimationFrame(() => this.follow());
  }

  show() {
    this.button.textContent = this.nodes ? say('pause') : say('play');
    this.button.ariaLabel = say(this.nodes ? 'pause_named' : 'play_named', {name: this.name});
    this.element.dataset.playing = this.nodes ? 'yes' : 'no';
    this.range.max = this.length || 1;
    this.range.value = this.now;
    this.range.setAttribute('aria-valuetext', clock(this.now));
    this.time.textContent = `${clock(this.now)} / ${clock(this.length)}`;
  }
}

const load = async version => {
  if (version.buffer) return;
  const response = await send('GET', version.url);
  version.level = Number(response.headers.get('X-Speech-Level'));
  version.buffer = await context.decodeAudioData(await response.arrayBuffer());
  let peak = 1e-9;
  for (const sample of version.buffer.getChannelData(0)) peak = Math.max(peak, Math.abs(sample));
  version.peak = 20 * Math.log10(peak);
};
