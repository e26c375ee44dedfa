const SHORT = 5; // rows of a table shown initially
for (const table of document.querySelectorAll('table:not(.whole)')) {
  const count = table.tBodies[0].rows.length;
  if (count <= SHORT) continue;
  const button = Object.assign(document.createElement('button'), {type: 'button', className: 'more'});
  const label = () => {
    button.textContent = table.classList.contains('short') ? `Show all ${count}` : `Show ${SHORT} only`;
  };
  button.onclick = () => { table.classList.toggle('short'); label(); };
  table.classList.add('short');
  label();
  table.parentElement.after(button);
}
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    return column === 0 ? text : Number.isNaN(parseFloat(text)) ? -Infinity : parseFloat(text);
  };
  const sort = (column, direction) => {
    const order = (a, b) => (value(a, column) < value(b, column) ? -1 : value(a, column) > value(b, column) ? 1 : 0);
    body.append(...[...body.rows].sort((a, b) => direction * order(a, b)));
    heads.forEach(head => head.removeAttribute('aria-sort'));
    heads[column].setAttribute('aria-sort', direction > 0 ? 'ascending' : 'descending');
  };
  heads.forEach((head, column) => head.querySelector('button').addEventListener('click', () =>
    sort(column, head.getAttribute('aria-sort') === 'descending' ? 1 : -1)));
  heads[1].setAttribute('aria-sort', table.dataset.order);
}
const players = [...document.querySelectorAll('audio')];
for (const player of players) {
  player.addEventListener('play', () => players.forEach(other => other === player || other.pause()));
}
