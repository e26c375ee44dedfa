// Blocks of samples from the microphone, as they come.
registerProcessor('capture', class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
});
