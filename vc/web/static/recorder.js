// Records the microphone as a WAV file, with a level meter.
import {announce, button, clock, duration, make, say} from './common.js';

const CLIPS = 0.985; // of full scale
const FAINT = 0.02;
const LOWEST = -60; // dB, at the meter's left end

const reason = error => {
  if (!window.isSecureContext || !navigator.mediaDevices) return say('mic_insecure');
  const key = {NotAllowedError: 'mic_denied', SecurityError: 'mic_denied', NotFoundError: 'mic_missing',
    OverconstrainedError: 'mic_missing', NotReadableError: 'mic_busy', AbortError: 'mic_busy'}[error.name];
  return key ? say(key) : say('mic_other', {reason: error.message});
};

// 16-bit mono WAV.
const wav = (blocks, rate) => {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const writeText = (offset, letters) => [...letters].forEach((letter, n) => view.setUint8(offset + n, letter.charCodeAt(0)));
  writeText(0, 'RIFF');
  view.setUint32(4, 36 + 2 * count, true);
  writeText(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  writeText(36, 'data');
  view.setUint32(40, 2 * count, true);
  let place = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(place, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      place += 2;
    }
  }
  return new Blob([view], {type: 'audio/wav'});
};

// `name()` is the file's name without extension; `onRecorded(file)` is called with the recording.
export const recorder = (name, onRecorded) => {
  const meter = make('meter', {min: LOWEST, max: 0, low: -40, high: -3, optimum: -15, value: LOWEST, ariaLabel: say('record_level')});
  const state = make('p', {className: 'quiet', role: 'status'});
  const toggle = button('record', () => (running ? stop() : start()), {className: 'record'});
  const element = make('div', {className: 'recorder'}, make('div', {}, toggle), meter, state);
  meter.hidden = state.hidden = true;
  let running = null;

  const show = () => {
    toggle.textContent = running ? say('record_stop') : say('record');
    toggle.classList.toggle('recording', Boolean(running));
    meter.hidden = !running;
  };
  const start = async () => {
    toggle.disabled = true;
    state.hidden = false;
    state.className = 'quiet';
    state.textContent = '';
    try {
      const constraints = {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false};
      const stream = await navigator.mediaDevices.getUserMedia({audio: constraints});
      const context = new AudioContext();
      await context.audioWorklet.addModule('/static/capture.js');
      const node = new AudioWorkletNode(context, 'capture', {numberOfOutputs: 0});
      running = {stream, context, blocks: [], clipped: false, loudest: 0, count: 0, shown: 0, peak: 0};
      node.port.onmessage = ({data}) => addBlock(data);
      context.createMediaStreamSource(stream).connect(node);
    } catch (error) {
      state.className = 'note bad';
      state.textContent = reason(error);
    }
    toggle.disabled = false;
    show();
  };
  const addBlock = block => {
    if (!running) return;
    running.blocks.push(block);
    running.count += block.length;
    let peak = 0;
    for (const sample of block) peak = Math.max(peak, Math.abs(sample));
    running.loudest = Math.max(running.loudest, peak);
    running.clipped ||= peak >= CLIPS;
    running.peak = Math.max(peak, running.peak * 0.97);
    const seconds = running.count / running.context.sampleRate;
    if (seconds - running.shown < 0.05) return;
    running.shown = seconds;
    meter.value = Math.max(LOWEST, 20 * Math.log10(running.peak + 1e-9));
    const advice = running.clipped ? say('record_clips')
      : seconds > 2 && running.loudest < FAINT ? say('record_faint')
        : running.loudest >= FAINT ? say('record_good') : '';
    state.textContent = `${say('recording_now', {time: clock(seconds)})} ${advice}`;
    state.className = running.clipped ? 'note bad' : 'quiet';
  };
  const stop = async () => {
    const {stream, context, blocks, count, loudest, clipped} = running, rate = context.sampleRate;
    running = null;
    show();
    stream.getTracks().forEach(track => track.stop());
    await context.close();
    if (loudest === 0) {
      state.className = 'note bad';
      state.textContent = say('record_silent');
      return;
    }
    state.className = clipped ? 'note bad' : 'quiet';
    state.textContent = `${say('record_kept', {time: duration(count / rate)})} ${clipped ? say('record_clips') : ''}`;
    announce(state.textContent);
    await onRecorded(new File([wav(blocks, rate)], `${name()}.wav`));
  };
  return {element, stop: () => running && stop()};
};
