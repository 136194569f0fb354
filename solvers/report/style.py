"""What the pages look like: one style sheet, no scripts, no fonts or files from elsewhere."""

from html import escape

CSS = """
:root { --ink: #1d2733; --soft: #5b6875; --line: #dfe4ea; --paper: #ffffff; --ground: #f5f6f8;
  --blue: #1f4e79; --pale: #9bb7d4; --red: #c0504d; --good: #2e7d4f; --bad: #c0392b;
  --gold: #b8860b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #9fabb8; --line: #34404c;
  --paper: #1b222a; --ground: #12171d; --blue: #7fb2e5; --pale: #46688a; --red: #e58a87;
  --good: #4fae79; --bad: #e0695c; --gold: #e0b64a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 64px; }
header { margin-bottom: 20px; } h1 { font-size: 2rem; line-height: 1.2; margin: 0; }
h1, td, dd, b, p { overflow-wrap: anywhere; } header p { margin: 4px 0; color: var(--soft); }
.kind { text-transform: uppercase; letter-spacing: .08em; font-size: .78rem; }
h2 { font-size: 1.25rem; margin: 0 0 4px; } h3 { margin: 20px 0 4px; font-size: 1.05rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 20px; margin-top: 20px; }
.lead { color: var(--soft); margin: 0 0 14px; max-width: 75ch; } a { color: var(--blue); }
.paper { border-left: 3px solid var(--gold); padding: 2px 0 2px 12px; margin: 14px 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin-bottom: 14px; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 14px 16px; }
.card b { display: block; font-size: 1.8rem; line-height: 1.2; } .card span { color: var(--soft); }
.card small { font-size: .55em; font-weight: 500; margin-left: 2px; color: var(--soft); }
.card.main { border-color: var(--blue); border-width: 2px; } .card.main b { color: var(--blue); }
.scroll { overflow-x: auto; } svg { display: block; } .chart { width: 100%; overflow: visible; }
.net { width: 100%; }
svg text { font-size: 12px; fill: var(--soft); } svg text.light { fill: #fff; }
svg text.note { font-style: italic; }
svg text.clear { paint-order: stroke; stroke: var(--paper); stroke-width: 5px; }
.grid { stroke: var(--line); fill: none; }
.frame { fill: none; stroke: var(--line); } .fixed { margin: 0 auto; } .spark { width: 110px; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.loss { stroke: var(--pale); stroke-width: 1; } polyline.mean { stroke: var(--blue); }
polyline.validation, polyline.score { stroke: var(--red); } polyline.rate { stroke: var(--good); }
circle { fill: var(--red); } circle.rate, circle.mean, circle.loss { fill: var(--blue); }
.level { stroke: var(--gold); stroke-dasharray: 5 4; fill: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 8px 0 0; font-size: .85rem;
  color: var(--soft); }
.legend i, .bars i { display: inline-block; width: 12px; height: 12px; border-radius: 2px;
  margin-right: 6px; border: 1px solid var(--line); vertical-align: -1px; flex: none; }
i.loss { background: var(--pale); } i.mean { background: var(--blue); }
i.validation, i.score { background: var(--red); } i.rate { background: var(--good); }
.bars > div { display: grid; grid-template-columns: minmax(112px, 22%) 1fr 48px; gap: 10px;
  align-items: center; padding: 3px 0; }
.bars .name { overflow-wrap: anywhere; line-height: 1.2; }
.track { background: var(--ground); border-radius: 4px; height: 14px; overflow: hidden; }
.track b { display: block; height: 100%; background: var(--blue); border-radius: 4px; }
.value { text-align: right; font-variant-numeric: tabular-nums; }
article { border-top: 1px solid var(--line); padding: 10px 0 14px; } article p { margin: 0 0 8px; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
figure { margin: 0; } img { width: 100%; display: block; border-radius: 4px;
  border: 1px solid var(--line); image-rendering: auto; }
figcaption { font-size: .85rem; color: var(--soft); text-align: center; }
.wire { stroke: var(--line); stroke-width: 2; } .arc { fill: none; stroke: var(--soft);
  stroke-width: 1.5; opacity: .7; } .arc.crop { stroke-dasharray: 3 3; opacity: .45; }
rect.input, i.input { fill: var(--ink); background: var(--ink); }
rect.convolution, i.convolution { fill: #4f86b8; background: #4f86b8; }
rect.pooling, i.pooling { fill: #c0504d; background: #c0504d; }
rect.deconvolution, i.deconvolution { fill: #3f9467; background: #3f9467; }
rect.sum, i.sum { fill: #b8860b; background: #b8860b; }
rect.concatenation, i.concatenation { fill: #c76b98; background: #c76b98; }
rect.crop, i.crop { fill: #8e7cc3; background: #8e7cc3; }
rect.other, i.other { fill: #8a96a3; background: #8a96a3; }
details { margin-top: 14px; } summary { cursor: pointer; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } th { color: var(--soft); font-weight: 600; }
table.numbers { width: auto; margin-bottom: 14px; }
table.numbers th + th, table.numbers td + td { text-align: right; padding-left: 14px; }
table.layers { min-width: 640px; } table.runs { min-width: 860px; }
td.time { white-space: nowrap; overflow-wrap: normal; }
table.runs a { overflow-wrap: normal; white-space: nowrap; }
table.layers td { white-space: nowrap; overflow-wrap: normal; }
td.number, table.layers td:nth-child(n+4) { font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: minmax(100px, auto) 1fr; gap: 4px 16px; margin: 0;
  align-content: start; } dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 12px 40px; }
pre { background: var(--ground); padding: 10px 12px; overflow-x: auto; border-radius: 4px; }
.scroll img { min-width: 640px; } ol { margin: 0; padding-left: 22px; max-width: 75ch; }
code { font-size: .92em; background: var(--ground); padding: 1px 5px; border-radius: 4px; }
footer { margin-top: 28px; color: var(--soft); font-size: .85rem; }
@media (max-width: 600px) { main { padding: 20px 12px 40px; } section { padding: 16px 14px; }
  h1 { font-size: 1.5rem; } .row { grid-template-columns: 1fr 1fr; } .two, dl { gap: 4px 12px; }
  .chart text { font-size: 21px; } .cards { grid-template-columns: 1fr 1fr; }
  .card b { font-size: 1.45rem; }
  polyline { stroke-width: 3; } }
"""


def section(title: str, explanation: str, *content: str) -> str:
    """A part of the page: what is in it, and a line that explains it."""
    body = "".join(content)
    if not body:
        return ""
    return f"<section><h2>{escape(title)}</h2><p class='lead'>{explanation}</p>{body}</section>"


def unbroken(text: str) -> str:
    """A short text that no line ends within."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def document(title: str, body: str, writer: str = "fcn report") -> str:
    """A whole page; writer : the command that wrote it."""
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="icon" href="data:,">'
            f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>{body}"
            f"<footer>Written by <code>{escape(writer)}</code>. The page needs no network.</footer>"
            "</main></body></html>\n")
