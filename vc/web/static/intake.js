// Uploads files that are dropped or chosen, one after another.
import {Refusal, alarm, announce, make, say, send, shared} from './common.js';

const filesIn = async entry => {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader(), files = [];
  for (;;) {
    const batch = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!batch.length) return files;
    for (const each of batch) files.push(...await filesIn(each));
  }
};
// Files that were dropped, including those in folders.
const droppedFiles = async transfer => {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  return (await Promise.all(entries.map(filesIn))).flat();
};

// `url()` is the URL for the next file; `onUploaded(answer)` is called after each.
export const intake = (extensions, url, onUploaded) => {
  const input = make('input', {type: 'file', multiple: true, accept: extensions});
  const label = make('label', {className: 'button drop file'},
    make('span', {textContent: say('drop')}), make('small', {textContent: say('drop_hint')}), input);
  const state = make('p', {className: 'quiet', role: 'status', hidden: true});
  const faults = make('ul', {className: 'faults'});
  const add = async files => {
    faults.replaceChildren();
    state.hidden = false;
    let last = '', count = 0;
    for (const [number, file] of files.entries()) {
      state.textContent = say('uploading', {done: number + 1, count: files.length, name: file.name});
      try {
        const answer = await (await send('PUT', `${url()}?name=${encodeURIComponent(file.name)}`, file)).json();
        onUploaded?.(answer);
        last = answer.name;
        count += 1;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        faults.append(make('li', {textContent: error.code ? error.message : `${file.name}: ${error.message}`}));
      }
    }
    state.hidden = !count;
    state.textContent = count === 1 ? say('uploaded_one', {name: last}) : say('uploaded_many', {count});
    announce(state.textContent);
    await shared.refresh();
  };
  input.onchange = async () => {
    const files = [...input.files];
    input.value = '';
    await add(files);
  };
  label.ondragover = event => { event.preventDefault(); label.classList.add('over'); };
  label.ondragleave = () => label.classList.remove('over');
  label.ondrop = async event => {
    event.preventDefault();
    label.classList.remove('over');
    alarm('');
    await add(await droppedFiles(event.dataTransfer));
  };
  return {elements: [label, state, faults], add};
};
