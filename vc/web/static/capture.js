// Passes on blocks of samples from the microphone.
registerProcessor('capture', class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
});
