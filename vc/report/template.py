"""The fixed parts of the report: frame, style, script and the text that explains the figures."""

from string import Template

READING = """
<p>Each converted sentence is compared with the target's own recording of the same sentence.
<strong>Mel-cepstral distortion</strong> (MCD) is the distance of the two spectra, speech frame by speech frame, after
both have been aligned in time; lower is nearer. It deceives when it is read alone: a voice that is averaged over all
it might have said lies near every target, scores well and sounds muffled and dead. Two figures show that side. The
<strong>global-variance ratio</strong> is 1 when the spectrum is as lively as the target's and falls below 1 when it
is smoothed; the <strong>modulation-spectra distance</strong> grows when the spectrum moves at another pace than the
target's. The <strong>F0 figures</strong> compare the melody; a conversion that only moves and scales log F0 keeps the
source's melody, so that they tell more of the two speakers than of the model. So does <strong>duration</strong>, which
is not converted.</p>
<p>No figure means anything by itself; the other rows are there to hold it against. <strong>Source as it is</strong>:
no conversion at all; a conversion must be nearer. <strong>Mean and variance only</strong>: the source moved by the
speakers' statistics, without a network; what a network adds is the difference to this row. <strong>Target through the
vocoder</strong>: the target's own recordings, analysed and synthesised again; no conversion through this vocoder can
be expected to come nearer. Small figures are 95&nbsp;% intervals: where they would move with other sentences. MCDs
of other papers were measured with other settings and cannot be compared with these.</p>
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
.figures th[scope=row] { position: sticky; left: 0; background: Canvas; }
.sortable th[scope=row] { white-space: nowrap; }
tr.converted { background: var(--ground); }
tr.converted { font-weight: bold; }
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
  heads[1].setAttribute('aria-sort', 'descending');
}
"""

FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
$lead
$notes
<h2>Figures</h2>
<div class="wide" tabindex="0">$figures</div>
<h2>How to read them</h2>
$reading
<h2>Listen and look</h2>
<p>Sentences from the nearest to the target to the farthest, in even steps of rank. Each picture has time from left to
right, frequency from low to high and loudness as brightness; the blue line is F0, the pitch of the voice.</p>
$listening
<h2>Every sentence</h2>
<p>Worst distortion first; a heading sorts. The last columns are the anchors' distortions of the same sentence.</p>
<div class="wide" tabindex="0">$sentences</div>
<h2>How it was measured</h2>
$configuration
</main>
<script>$script</script>
</body>
</html>
"""

PAGE = Template(Template(FRAME).safe_substitute(style=STYLE, script=SCRIPT))
