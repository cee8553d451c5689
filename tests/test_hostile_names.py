"Names, texts and messages of other people's data are shown as text: in sentences, tables, pictures and pages."
import csv, json, re

import matplotlib.pyplot as plt, nbformat, numpy as np, pandas as pd, pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from upgradeability.kinds.classification import plot_confusion, plot_per_class
from upgradeability.reading import Reading, as_code, as_html, as_label, as_markdown, as_table, in_common, reading_html, visible
from upgradeability.report import to_html, write_report
from upgradeability.verdicts import findings, verdict

ADDRESS = 'http://127.0.0.1:9/a'
HOSTILE = [
    '<img src=x onerror="window.ran=1">', '<script>window.ran=1</script>', '<svg onload=window.ran=1>', '<details open ontoggle="window.ran=1">x',
    '<style>*{background:url(//127.0.0.1:9/b)}</style>', '</style></td></table><script>window.ran=1</script>', ']]><script>window.ran=1</script>', '--><script>window.ran=1</script><!--',
    '<iframe srcdoc="<script>top.ran=1</script>">', '<a href="javascript:window.ran=1">x</a>', '<base href=//127.0.0.1:9/>', '<meta http-equiv=refresh content="0;url=//127.0.0.1:9/c">',
    '" onmouseover="window.ran=1" x="', "' onerror='window.ran=1", '&lt;img src=x onerror=window.ran=1&gt;', '&#60;script&#62;',
    '[x](javascript:window.ran=1)', '[x](data:text/html,<script>top.ran=1</script>)', '![x](secret.png)', '![x](' + ADDRESS + ')', '[x][1]', '[1]: ' + ADDRESS, '[^1]', f'<{ADDRESS}>', ADDRESS, 'www.example.org', 'a@b.cd',
    '$10_to_$20', '$$', '$$\\href{javascript:window.ran=1}{x}$$', '\\(x\\)', '\\[x\\]', '\\begin{equation}x\\end{equation}', '\\frac{', '$\\bad{$', '$x$', 'xFORMULAx9x', 'xFORMULAx0x',
    '`code`', '``', '`', '```x', '~~~', '~~a~~', '*a*', '**', '***', '_a_', '__init__', '__', '_', 'a_b_c', '# a', '#', '- a', '-', '+ a', '1. a', '1) a', '> a', '=', '===', '---', ': a', '| a | b |', 'a|b', '- [ ] a',
    'a\nb', 'a\r\n\r\n# b', 'a\tb', '\x00', '\x1b[31mred', '\u202egnp.exe', 'zero\u200bwidth', '\ufeffbom', '\u2028', '\u3164', '\udcff.png', 'a\xadb', ' ', '   ', '\xa0', '',
    '漢字', '🙂', '👩\u200d🔬', 'é\u0301\u0301', '{{ 7*7 }}', '{0}', '%s', '@@0@@', '\\', '\\\\', 'a\\', '\\*', '!', '!![x](y)', 'x' * 400, '<' * 60, 'javascript:window.ran=1']

# ---- one name

def shown_by(markdowns, tmp_path):
    "What a page shows of a notebook with one output for each text."
    outputs = [new_output('display_data', {'text/markdown': markdown}) for markdown in markdowns]
    nbformat.write(new_notebook(cells=[new_code_cell('1', outputs=outputs)]), tmp_path/'n.ipynb')
    found = BeautifulSoup(to_html(tmp_path/'n.ipynb').read_text(), 'html.parser').select('.output_markdown')
    assert len(found) == len(markdowns)
    return found

def by_commonmark(markdowns, tmp_path):
    "The same by a second implementation."
    markdown_it = pytest.importorskip('markdown_it')
    parser = markdown_it.MarkdownIt('commonmark', {'html': True}).enable(['table', 'strikethrough'])
    return [BeautifulSoup(parser.render(markdown), 'html.parser') for markdown in markdowns]

@pytest.mark.parametrize('pages', [shown_by, by_commonmark])
@pytest.mark.parametrize('frame', ['{}', '- {}', 'a {}, b', '- one: {} {}\n- two'])
def test_names_in_sentences(frame, pages, tmp_path):
    "Each is shown with all its characters, and nothing else comes of it."
    wrong = []
    for name, page in zip(HOSTILE, pages([frame.replace('{}', as_markdown(name)) for name in HOSTILE], tmp_path)):
        want = re.sub('(^|\n)- ', ' ', frame).replace('{}', visible(name))
        tags = {t.name for t in page.find_all()} - {'p', 'span', 'ul', 'li'}
        if tags or ' '.join(page.get_text().split()) != ' '.join(want.split()): wrong.append((name, str(page)))
    assert wrong == []

@pytest.mark.parametrize('pages', [shown_by, by_commonmark])
def test_names_as_code(pages, tmp_path):
    wrong = []
    for name, page in zip(HOSTILE, pages([f'see {as_code(name, None)} and `b`' for name in HOSTILE], tmp_path)):
        codes = [c.get_text() for c in page.find_all('code')]
        if codes != [visible(name) or '(empty)', 'b'] or {t.name for t in page.find_all()} - {'p', 'code'}: wrong.append((name, str(page)))
    assert wrong == []

def test_ordinary_names_stay_as_they_are():
    for name in ['linear_probe', 'timm:vit_small_patch14_dinov2.lvd142m', 'n_train=48 is more than the 30 labels.', 'Straße 5, "x" (y)', 'naïve—ok']:
        assert visible(name) == name == as_label(name) and as_markdown(name) == name and as_code(name) == f'`{name}`'

def test_what_cannot_be_seen_is_written():
    assert visible('a\u202eb\u200b\n') == r'a\u202eb\u200b\n' and visible('\udcff') == r'\udcff' and visible('  ') == '␣␣' and visible('') == ''
    assert visible('x' * 99, 9) == 'xxxxx…xxx' and len(visible('y' * 500, 40)) == 40

@pytest.mark.parametrize('name', HOSTILE)
def test_names_in_html(name):
    page = BeautifulSoup(f'<td title="{as_html(name)}">{as_html(name)}</td>', 'html.parser')
    assert [t.name for t in page.find_all()] == ['td'] and page.td.get_text() == visible(name) == page.td['title']

def test_names_in_tables():
    "In cells, lists, headings and the index; JupyterLab looks for no formulas there."
    names = [n for n in HOSTILE if n.isascii() or n.encode(errors='replace') == n.encode(errors='ignore')] # pandas has no lone surrogates
    frame = pd.DataFrame({name or 'empty': [name, [name], 1.5] for name in names}, index=['<b>', '$a$', '\u202e'])
    page = BeautifulSoup(as_table(frame).html, 'html.parser')
    assert {t.name for t in page.find_all()} == {'table', 'thead', 'tbody', 'tr', 'th', 'td'} and 'mathjax_ignore' in page.table['class']
    assert not re.search('[\u202e\u200b\udcff]', page.get_text()) and '\\u202egnp.exe' in page.get_text()
    assert as_table(None) is None

def test_names_in_readings():
    reading = Reading().add('<b>', {name: 1 for name in HOSTILE}).add('labels', HOSTILE, 'finding')
    page = BeautifulSoup(reading_html({'<img src=x>': reading}), 'html.parser')
    assert {t.name for t in page.find_all()} == {'table', 'tbody', 'tr', 'th', 'td', 'b'} and len(page.find_all('b')) == 1
    assert '\u202e' not in repr(Reading().add('a', '\u202e')) and '\n' not in repr(Reading().add('a', 'b\nc'))

def test_what_all_models_share_is_said_once():
    a, b, c = (Reading().add('width', n).add('type', 'float32') for n in (1, 2, 2))
    found = in_common({'a': a, 'b': b, 'c': c})
    assert {k: [str(e) for e in r] for k, r in found.items()} == {'all 3 models': ['type: float32'], 'a': ['width: 1'], 'b': ['width: 2'], 'c': ['width: 2']}
    assert in_common({'a': a}) == {'a': a} and list(in_common({'a': a, 'd': Reading()})) == ['a', 'd']

# ---- pictures

def drawn(figure):
    "The texts of a figure that are drawn, as they are drawn."
    figure.canvas.draw()
    return [t._preprocess_math(t.get_text()) for t in figure.findobj(plt.Text) if t.get_text()]

@pytest.mark.parametrize('part', range(4))
def test_names_in_pictures(part, recwarn):
    "No formula, no warning, and nothing that cannot be drawn."
    from upgradeability.metrics import Predictions
    names = [n or 'empty' for n in HOSTILE if n != '\udcff.png'][part::4] # a task has no lone surrogates
    y = np.arange(len(names)).repeat(3)
    said = np.roll(y, 1)
    meta = dict(classes=tuple(names), model=f'timm:{names[0]}', task=f'folder:{names[1]}', protocol=names[2])
    p = Predictions(np.arange(len(y)), y, said, np.eye(len(names))[said], None, 'test', meta)
    few = Predictions(np.arange(9), y[:9], y[:9][::-1], None, None, 'test', meta | dict(classes=tuple(names[:3])))
    for ax in (plot_per_class(p, p), plot_confusion(p), plot_confusion(few)):
        texts = drawn(ax.figure)
        assert not any(is_math for _, is_math in texts) and not any('\\$' in text for text, _ in texts)
        plt.close(ax.figure)
    assert [str(w.message) for w in recwarn if 'Glyph' in str(w.message)] == []

def test_dollars_are_drawn_as_they_are():
    fig, ax = plt.subplots()
    for name in ['$10_to_$20', r'a\$b', r'\\$$', '$']:
        text = ax.text(0, 0, as_label(name))
        assert text._preprocess_math(text.get_text()) == (name, False)
    plt.close(fig)

# ---- pages

def page_of(tmp_path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), tmp_path/'n.ipynb')
    return to_html(tmp_path/'n.ipynb').read_text()

def output(**data): return new_code_cell('1', outputs=[new_output('display_data', {k.replace('_', '/'): v for k, v in data.items()})])

def test_files_come_into_a_page_by_its_author_only(tmp_path):
    Image.new('RGB', (9, 9)).save(tmp_path/'secret.png')
    assert 'data:image/png' in page_of(tmp_path, new_markdown_cell('![x](secret.png)'))
    assert 'data:image/png' not in page_of(tmp_path, output(text_markdown='![x](secret.png) <img src="secret.png">'))

def test_a_page_has_no_script_whatever_a_cell_puts_out(tmp_path):
    cell = output(text_markdown='[x](javascript:alert(1))')
    script = new_code_cell('1', outputs=[new_output('display_data', {'application/javascript': 'alert(1)', 'text/plain': 'a chart'})])
    page = page_of(tmp_path, cell, script, new_markdown_cell('[y](javascript:alert(1))'))
    assert '<script' not in page and 'javascript:' not in page and 'a chart' in page
    assert "default-src 'none'" in page and page.index('Content-Security-Policy') < page.index('<style')

def test_formulas_of_the_author(tmp_path):
    page = page_of(tmp_path, new_markdown_cell('# T\n\n$a < b$ and $5 or $6, `$x$`, \\$7, $\\text{<img src=x>}$\n\n$$\\sum_i x_i$$\n\n\\begin{align}a\\end{align}\n\nxFORMULAx9x $\\frac{$'))
    found = BeautifulSoup(page, 'html.parser')
    assert len(found.find_all('math')) >= 4 and not found.find_all('img') and '$5 or $6' in page and '<code>$x$</code>' in page and 'xFORMULAx9x' in page

def test_a_failed_page_shows_its_message_as_text(tmp_path):
    error = new_output('error', ename='ValueError', evalue='no <img src=x>\nsecond \u202eline', traceback=['x'])
    page = page_of(tmp_path, new_code_cell('1', outputs=[error]))
    assert 'no &lt;img src=x&gt;\nsecond \\u202eline' in page and '<img' not in page

def test_messages_and_findings_are_text(tmp_path):
    from test_report import failed, table
    df = table(failed('majority'), failed('knn', 'ValueError: <img src=x> [a](javascript:b) $1 $2\nand more'), failed('as_is', ''), failed('a`b', '   \n'))
    [page] = shown_by([verdict(df)], tmp_path)
    assert not page.find_all(['img', 'a', 'math']) and '<img src=x> [a](javascript:b) $1 $2' in page.get_text()
    checked = pd.DataFrame(dict(check=['<b>'], severity=['warning'], message=["The class '![x](y)' has $3 | 4"], rows=[[]]))
    [page] = shown_by([findings(df, None, checked)], tmp_path)
    assert not page.find_all(['img', 'a']) and page.strong.get_text() == "The class '![x](y)' has $3 | 4"

# ---- whole reports, in a browser

ONE = '<img src=x onerror=window.ran=1>$10_to_$20 [x](javascript:window.ran=1) ![x](secret.png)' # may be the name of a file

def put(path, rows, delimiter=','):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', newline='', encoding='utf-8') as f: csv.writer(f, delimiter=delimiter).writerows(rows)
    return path

def usable(names):
    "Names that can be labels in a file: distinct, not blank, Unicode."
    seen = [n.strip() for n in names if n.strip().isprintable() and n.strip() and n.isascii()]
    return list(dict.fromkeys(seen))

def pictures(folder, names):
    rng = np.random.default_rng(0)
    for c, name in enumerate(names):
        (folder/name).mkdir(parents=True)
        for i in range(6): Image.fromarray(rng.integers(0, 40 + c, (16, 16, 3), np.uint8)).save(folder/name/f'{i} {ONE[:40]}.png')
    return f'folder:{folder}'

def hostile_pictures(tmp_path):
    names = [n for n in usable(HOSTILE) if '/' not in n and not n.startswith('.') and len(n) < 100]
    return dict(task=pictures(tmp_path/ONE, names[:14]), dtype='float32')

def hostile_texts(tmp_path):
    names = usable(HOSTILE)[:16]
    rows = [[f'{HOSTILE[i % len(HOSTILE)]} {i} {ONE}'.replace('\x00', '').encode(errors='ignore').decode(), names[i % len(names)]] for i in range(8 * len(names))]
    path = put(tmp_path/f'{ONE}.csv', [['<b>text</b>', '$label$'], *rows])
    return dict(model='bundled:minilm', task=f'csv:{path}?text=<b>text</b>&label=$label$', dtype='float32')

def hostile_words(tmp_path):
    rng = np.random.default_rng(0)
    words, types = ([n.replace(' ', '_') for n in usable(HOSTILE)] for _ in range(2))
    def sentence(i): return ''.join(f'{words[j]} {"B-" + types[i % 12] if k == i % 4 else "O"}\n' for k, j in enumerate(rng.integers(0, len(words), 5)))
    path = tmp_path/f'{ONE[:30]}.conll'
    path.parent.mkdir()
    path.write_text('\n'.join(map(sentence, range(120))))
    return dict(model='bundled:minilm', task=f'conll:{path}', dtype='float32')

def hostile_lists(tmp_path):
    rng = np.random.default_rng(0)
    users, items = ([f'{n} {i}' for i, n in enumerate(usable(HOSTILE)[::2][:40])] for _ in range(2))
    rows = [[u, items[i], t] for u in users for t, i in enumerate(rng.choice(len(items), 9, replace=False))]
    put(tmp_path/ONE/'items.csv', [['item_id', 'title'], *[[n, f'{n} {ONE}'] for n in items]])
    return dict(model='bundled:minilm', task=f"interactions:{put(tmp_path/ONE/'interactions.csv', [['user_id', 'item_id', 'timestamp'], *rows])}", dtype='float32')

def seen_by(chromium, page):
    "What a browser did with a page: requests, console, whether something ran, and elements that a report has no use for."
    hook = chromium.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument', dict(source='window.alert = window.confirm = window.prompt = () => { window.ran = 1 }'))
    chromium.get_log('browser'), chromium.get_log('performance')
    chromium.get(page.as_uri())
    ran, odd = chromium.execute_script("""
        const own = 'header a, nav a, details.more, .figure > svg'
        const odd = [...document.body.querySelectorAll('script, iframe, object, embed, form, base, link, meta, style, a, svg, details')]
            .filter(e => !e.matches(own)).map(e => e.outerHTML)
        const attributes = [...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).map(a => a.name + '=' + a.value)
        const handlers = attributes.filter(a => a.startsWith('on') || a.includes('javascript:') && !a.startsWith('alt='))   // alternative text is text
        const pictures = [...document.images].map(i => i.getAttribute('src')).filter(s => !s.startsWith('data:'))
        return [window.ran, [...odd, ...handlers, ...pictures]]""")
    chromium.execute_cdp_cmd('Page.removeScriptToEvaluateOnNewDocument', hook)
    events = [json.loads(e['message'])['message'] for e in chromium.get_log('performance')]
    asked = [e['params']['request']['url'] for e in events if e['method'] == 'Network.requestWillBeSent']
    return [url[:200] for url in asked if not url.startswith(('data:', 'chrome:'))], chromium.get_log('browser'), ran, odd

def assert_harmless(chromium, page, tmp_path):
    "With its policy, and also without: the policy must have nothing to do."
    bare = tmp_path/'bare.html'
    text = page.read_text()
    bare.write_text(re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', '', text))
    assert bare.read_text() != text
    for path in (page, bare):
        asked, console, ran, odd = seen_by(chromium, path)
        assert asked == [path.as_uri()] and console == [] and not ran and odd == []

def assert_outputs_are_text(notebook):
    "What JupyterLab gets to show."
    for output in (o for c in nbformat.read(notebook, 4).cells for o in c.get('outputs', ())):
        assert output.output_type != 'error', output
        data = output.get('data', {})
        html = re.sub('<img src="data:image/(png|jpeg);base64,[^"]*" alt="[^"<>]*" style="[^"<>]*">|<details class="more">', '', data.get('text/html', ''))
        assert not re.search('<(img|script|svg|iframe|details|a|base|meta|style)\\b', html), html[:2000]
        bare = re.sub('(`+).*?\\1', '', data.get('text/markdown', '')) # without code
        assert not re.search(r'<(?!/?span>)|\]\(|(?<!\\)\$', bare), bare

@pytest.mark.parametrize('make', [hostile_pictures, hostile_texts, hostile_words, hostile_lists], ids=lambda f: f.__name__)
def test_reports_of_hostile_data(make, chromium, tmp_path):
    given = make(tmp_path/'data')
    Image.new('RGB', (9, 9)).save(tmp_path/'secret.png')
    out = write_report('eval', tmp_path/'out.ipynb', out_dir=str(tmp_path/'run'), protocols='majority, knn, linear_probe', **given)
    assert_outputs_are_text(out)
    assert_harmless(chromium, out.with_suffix('.html'), tmp_path)
    assert len(list((tmp_path/'run').glob('*.svg'))) >= 4

def test_a_browser_would_see_what_gets_through(chromium, tmp_path):
    page = tmp_path/'bad.html'
    page.write_text('<body><img src=x onerror="window.ran=1"><a href="javascript:1">x</a>')
    asked, console, ran, odd = seen_by(chromium, page)
    assert len(asked) == 2 and ran and len(odd) >= 3
    guarded = tmp_path/'guarded.html'
    from upgradeability.report import _page
    guarded.write_text(_page('</title><script>window.ran=1</script>', page.read_text()))
    asked, console, ran, odd = seen_by(chromium, guarded)
    assert not ran and any('Content Security Policy' in entry['message'] for entry in console)

# ---- what was read

def arrays():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6)).astype(np.float32), np.arange(60) % 2
    return x[:40], y[:40], x[40:], y[40:]

def test_tasks_and_networks_show_what_was_read():
    "In a terminal and in a notebook, names as text."
    from dataclasses import replace
    from upgradeability import load_backbone, load_task
    task, net = load_task(arrays()), load_backbone('bundled:efficientnet_lite0')
    odd = replace(task, reading=task.reading.add('files', '<img src=x>\u202e', 'finding'))
    assert 'files: <img src=x>\\u202e (!)' in repr(odd) and '<b>&lt;img src=x&gt;\\u202e</b>' in odd._repr_html_()
    for shown in (task, net):
        assert all(entry.about in repr(shown) and entry.about in shown._repr_html_() for entry in shown.reading) and len(shown.reading) >= 2
        assert repr(shown).splitlines()[0] == shown._summary
    assert '1,280 numbers' in repr(net)

def test_readings_of_every_table(tmp_path):
    "Results, curves and rankings show them; findings are repeated in bold; what is stored is what is shown."
    from dataclasses import replace
    from torch import nn
    from upgradeability import evaluate, load_task
    from upgradeability.curves import learning_curve
    from upgradeability.ranking import rank_models
    from upgradeability.report import keep_provenance, keep_ranking, show_reading
    task = load_task(arrays())
    task = replace(task, reading=task.reading.add('labels', 'three | of *them* are odd', 'finding'))
    net = lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    df = evaluate(net(), task, protocols=['knn'], out_dir=tmp_path/'a')
    curve = learning_curve(net(), task, sizes=[10, 20, 40], seeds=[0], out_dir=tmp_path/'b', n_boot=20)
    ranking = rank_models({'one': net(), 'two': net()}, task, budget=20., smallest=8, out_dir=tmp_path/'c')
    for table in (df, curve, ranking):
        shown = show_reading(table)
        assert 'three | of *them* are odd (!)' in shown.text and 'numeric type: float32' in shown.text
        assert '<b>three | of *them* are odd</b>' in shown.html
    [page] = shown_by([findings(df, task)], tmp_path)
    assert 'labels: three | of *them* are odd' in [b.get_text() for b in page.find_all('strong')]
    keep_provenance(df), keep_ranking(ranking)
    for folder in 'ac': assert 'three | of *them* are odd' in (tmp_path/folder/'provenance.json').read_text()

def test_every_report_shows_what_was_read_behind_its_verdict(root):
    for name in ('eval', 'compare', 'curve', 'rank', 'shift', 'improve'):
        nb = nbformat.read(root/'nbs'/f'{name}.ipynb', 4)
        headings = [c.source.splitlines()[0] for c in nb.cells if c.cell_type == 'markdown' and c.source.startswith('## ')]
        assert headings[0] == '## What was read' and sum('show_reading(' in c.source for c in nb.cells) == 1

# ---- names that no file system, or no text, can hold

@pytest.mark.parametrize('spec', ['folder:{}', 'csv:{}.csv', 'conll:{}', 'interactions:{}', 'hf:{}', '{}', 'csv:' + 'a/' * 3000 + '{}'])
def test_overlong_tasks_are_refused(spec):
    from upgradeability import load_task
    with pytest.raises(ValueError, match='bytes; ') as e: load_task(spec.format('x' * 5000) if 'a/' not in spec else spec.format('b'))
    assert len(str(e.value)) < 400

@pytest.mark.parametrize('spec', ['{}', 'timm:{}', 'torchvision:{}', 'file:{}:resnet18', 'hf:{}', 'st:{}'])
def test_overlong_models_are_refused(spec):
    from upgradeability import load_backbone
    with pytest.raises(ValueError, match='has at most 255') as e: load_backbone(spec.format('x' * 5000))
    assert len(str(e.value)) < 400

def test_a_name_of_255_bytes_is_no_problem(tmp_path):
    from upgradeability import load_task
    path = put(tmp_path/f"{'x' * 251}.csv", [['text', 'label'], *[[f't{i}', 'ab'[i % 2]] for i in range(20)]])
    assert load_task(f'csv:{path}?text=text&label=label').n_train > 9

def test_where_nothing_can_be_written_is_said(tmp_path):
    from torch import nn
    from upgradeability import evaluate
    for name, match in [('x' * 300, 'has at most 255'), ('run\udcff', 'not UTF-8 text')]:
        with pytest.raises(ValueError, match=match): evaluate(nn.Linear(6, 3), arrays(), protocols=['knn'], out_dir=tmp_path/name)
        with pytest.raises(ValueError, match=match): write_report('eval', tmp_path/f'{name}.ipynb')
    assert list(tmp_path.iterdir()) == []

def test_long_specs_are_shortened_where_they_are_shown(tmp_path):
    from test_report import failed, row, table
    spec = 'timm:' + 'long_name_' * 100
    df = table(row('knn', model=spec), failed('as_is', 'x' * 5000))
    assert len(verdict(df.assign(baseline=None))) < 1500 and len(as_table(df[['model']]).html) < 2000

def test_undecodable_names_of_files(tmp_path):
    "A byte that is no text in the names of the folder, a class, the pictures and the checkpoint: the run is as any other."
    import os
    import timm, torch
    from upgradeability import evaluate, load_task
    from upgradeability.evaluation import verify
    from upgradeability.report import keep_provenance, resolved, show_reading
    folder = os.fsencode(tmp_path)+b'/pets\xff'
    rng = np.random.default_rng(0)
    for c in (b'cat\xfe', b'dog'):
        try: os.makedirs(folder + b'/' + c)
        except OSError: pytest.skip('this file system takes text only')
        for i in range(8): Image.fromarray(rng.integers(0, 99, (16, 16, 3), np.uint8)).save(os.fsdecode(folder + b'/' + c + b'/%d\xfd.png' % i))
    weights = f'{tmp_path}/w\udcff.pth'
    torch.save(timm.create_model('test_vit').state_dict(), weights)
    task = load_task(f'folder:{os.fsdecode(folder)}')
    assert task.classes == (r'cat\udcfe', 'dog') and repr(task).isprintable() is False
    df = evaluate(f'file:{weights}:test_vit', task, protocols='majority, linear_probe', dtype='float32', out_dir=tmp_path/'run')
    assert (df.error == '').all() and verify(tmp_path/'run').empty
    for text in (verdict(df), findings(df, task), resolved(df), show_reading(df).html, repr(task)): text.encode()
    keep_provenance(df)
    json.loads((tmp_path/'run'/'provenance.json').read_text(encoding='utf-8'))
    with pytest.raises(ValueError, match='not UTF-8 text'): write_report('eval', tmp_path/'out.ipynb', task=f'folder:{os.fsdecode(folder)}')
    os.rename(folder, tmp_path/'pets')
    out = write_report('eval', tmp_path/'out.ipynb', task=f"folder:{tmp_path/'pets'}", protocols='knn', dtype='float32', out_dir=str(tmp_path/'again'))
    assert r'cat\udcfe' in out.with_suffix('.html').read_text()
