"""The fixed parts of the report: frame, style, script and the text that explains the figures."""

from string import Template

from vc.report.html import HEAD

READING = """
<p>No figure means anything by itself; the other columns are there to hold it against. <strong>Source as it is</strong>:
no conversion at all. <strong>Mean and variance only</strong>: the source moved by the speakers' statistics, without a
network; what a network adds is the difference to this column. <strong>Target through the vocoder</strong>: the target's
own recordings, analysed and synthesised again; no conversion through this vocoder can be expected to come nearer.
<strong>Target</strong>: the recordings themselves. Small figures are 95&nbsp;% intervals: where they would move with
other sentences.</p>
<p><strong>Mel-cepstral distortion</strong> compares each converted sentence with the target's own recording of it,
speech frame by speech frame, after both have been aligned in time. It deceives when it is read alone: a voice that is
averaged over all it might have said lies near every target, scores well and sounds muffled and dead. The
<strong>global-variance ratio</strong> and the <strong>modulation-spectra distance</strong> show that side. MCDs of
other papers were measured with other settings and cannot be compared with these.</p>
<p>The <strong>melody</strong> and the <strong>duration</strong> stay the source's in a conversion that only moves and
scales log F0: these figures then tell more of the two speakers than of the model. <strong>The whole set</strong>
compares how all frames of one set are spread with how the target's are, sentences apart: a system that says nothing
could still score well on distance, so that <strong>content lost</strong> and <strong>diversity</strong> stand
beside.</p>
"""

STYLE = """
:root { color-scheme: light dark; --line: #8885; --strong: #0a6; --ground: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; }
h3 { margin: 0; overflow-wrap: anywhere; }
p { max-width: 50rem; }
small { display: block; font-weight: normal; opacity: .75; }
abbr { text-decoration: none; }
.notes { border-left: .3rem solid #c80; padding: .5rem 0 .5rem 2rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
.figures th[scope=row] { min-width: 8rem; }
.figures th[scope=row], .sortable th[scope=row] { position: sticky; left: 0; background: Canvas; }
.figures .group th { padding-top: 1rem; opacity: .75; font-weight: normal; border-bottom-width: 2px; }
.figures th.system, .figures td.system { background: var(--ground); font-weight: bold; }
.sortable th[scope=row] { white-space: nowrap; }
.verdict { list-style: none; padding: 0; max-width: 50rem; }
.verdict li { border-left: .3rem solid var(--mark); padding: .3rem .8rem; margin: .5rem 0; }
.good { --mark: #0a6; } .doubtful { --mark: #c80; } .bad { --mark: #d22; }
summary { cursor: pointer; margin: 1rem 0; }
th button { font: inherit; font-weight: bold; color: inherit; background: none; border: 0; padding: 0;
  text-align: left; cursor: pointer; text-decoration: underline dotted; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.sentence { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0; }
.sentence p { margin: 0 0 .5rem; }
.players { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(11rem, 100%), 1fr));
  gap: .5rem 1rem; align-items: end; }
figure { margin: 0; }
audio { width: 100%; }
img { width: 100%; max-width: 56rem; height: auto; margin-top: .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { display: block; } dd { margin: 0 0 .5rem 1rem; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].textContent;
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
"""

FRAME = (
    HEAD
    + """$lead
$notes
<h2>Verdict</h2>
<p>What the figures say of the ways in which conversions fail, by fixed bounds.</p>
$verdict
<h2>Figures</h2>
<div class="wide" tabindex="0" role="region" aria-label="Figures">$figures</div>
$comparisons
<details><summary>How to read the figures</summary>$reading</details>
<h2>Listen and look</h2>
<p>Sentences from the best to the worst, in even steps of rank. Each picture has time from left to right, frequency from
low to high and loudness as brightness; the blue line is F0, the pitch of the voice. Sounds have the sample rate at
which they were measured.</p>
$listening
<h2>Every sentence</h2>
<p>The worst first; a heading sorts. The last columns are the other systems' figures of the same sentence.</p>
<div class="wide" tabindex="0" role="region" aria-label="Every sentence">$sentences</div>
$training
<h2>How it was measured</h2>
<details><summary>What each figure is</summary>$definitions</details>
<details><summary>All settings</summary>$configuration</details>
</main>
<script>$script</script>
</body>
</html>
"""
)

PAGE = Template(Template(FRAME).safe_substitute(style=STYLE, script=SCRIPT))
