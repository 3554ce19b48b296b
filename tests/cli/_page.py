# SPDX-License-Identifier: MIT
"""A page that hone writes, as the tests look at it."""
import html.parser
import json

VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Elements, text by element, and the embedded tree; complains about what is not closed."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open, self.tags, self.attrs, self.text, self.rows, self.problems = [], [], [], "", [], []
        self.tree = None
        self.feed(self.source)
        self.close()
        if self.open:
            self.problems.append(f"not closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attrs += [(tag, k, v) for k, v in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop()[0] != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, text):
        inside = [t for t, _ in self.open]
        if "script" in inside:
            if self.open[-1][1].get("type") == "application/json":
                self.tree = json.loads(text)
        elif "style" not in inside:
            self.text += text
            if inside and self.rows and ("td" in inside or "th" in inside):
                self.rows[-1][-1] += text

    def outside(self):
        """What the page would load from elsewhere."""
        named = [a for a in self.attrs if a[1] in ("src", "href", "srcset", "action", "data", "poster")]
        known = self.source.count("http-equiv") + self.source.count("http://www.w3.org/2000/svg")
        return named + [t for t in ("url(http", "@import") if t in self.source] + ["http"] * (self.source.count("http") - known)
