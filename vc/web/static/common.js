// Shared by all parts of the page: texts, elements, requests.
export const at = id => document.getElementById(id);
export const text = JSON.parse(at('text').textContent);
export const prompts = JSON.parse(at('prompts').textContent);

export const say = (key, values = {}) => text[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
export const make = (tag, properties = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'dataset') Object.assign(element.dataset, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
};
export const button = (key, onclick, properties = {}) =>
  make('button', {type: 'button', textContent: say(key), onclick, ...properties});

export const duration = seconds => {
  const whole = Math.round(seconds), minutes = Math.round(seconds / 60);
  if (whole < 60) return say('seconds', {seconds: whole});
  if (whole < 3600) return say('minutes_seconds', {minutes: Math.floor(whole / 60), seconds: whole % 60});
  return say('hours_minutes', {hours: Math.floor(minutes / 60), minutes: minutes % 60});
};
export const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

export const announce = message => { at('status').textContent = message; };
export const alarm = message => {
  at('alert').hidden = !message;
  if (at('alert').textContent !== (message ?? '')) at('alert').textContent = message ?? '';
};

// An error that the server reports, or that it does not answer; `code` is the HTTP status, 0 without an answer.
export class Refusal extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}
export const send = async (method, path, body) => {
  const response = await fetch(path, {method, body}).catch(() => { throw new Refusal(say('offline'), 0); });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({error: response.status === 403 ? say('expired') : response.statusText}));
  throw new Refusal(answer.error, response.status);
};
export const ask = async (method, path, content) => {
  const body = content === undefined ? undefined : JSON.stringify(content);
  return (await send(method, path, body)).json();
};
export const place = (...names) => names.map(encodeURIComponent).join('/');

// Update the elements of a list by key and in place, so that the focused one keeps the focus.
export const keyed = (list, items, key, build, update) => {
  const present = new Map([...list.children].map(child => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const name = String(key(item));
    let element = present.get(name);
    if (!element) {
      element = build(item);
      element.dataset.key = name;
    }
    present.delete(name);
    update(element, item);
    const next = before ? before.nextElementSibling : list.firstElementChild;
    if (next !== element) list.insertBefore(element, next);
    before = element;
  }
  for (const element of present.values()) element.remove();
};

// Set the options of a select, by groups; the selection is kept if possible.
export const choices = (select, groups) => {
  const chosen = select.value, signature = JSON.stringify(groups);
  if (select.dataset.signature === signature) return;
  select.dataset.signature = signature;
  const option = ([value, label]) => make('option', {value, textContent: label});
  select.replaceChildren(...groups.filter(([, options]) => options.length).flatMap(([label, options]) =>
    label ? [make('optgroup', {label}, ...options.map(option))] : options.map(option)));
  if ([...select.options].some(each => each.value === chosen)) select.value = chosen;
};

// Values that survive a reload and a restart of the server; a browser may refuse to store them.
export const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* the user chooses again */ } };
export const kept = name => { try { return localStorage.getItem(name) ?? ''; } catch { return ''; } };

// Set by main.js; the parts call `refresh` to read the server's state again.
export const shared = {state: null, jobs: [], refresh: async () => {}};
export const active = job => job.state === 'waiting' || job.state === 'running';
export const guarded = work => async event => {
  try {
    alarm('');
    await work(event);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    alarm(error.message);
  }
};
