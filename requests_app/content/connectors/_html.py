"""Makes the HTML of a mail safe to show: removes scripts, styles, and all that would make a browser load something.

This takes linear time. nh3 removes what is unsafe, but its parser takes quadratic time on deep or wrongly nested
markup: one megabyte of <div> blocks a worker for two minutes. So this module first rewrites the markup into well-nested
tags of limited depth.
"""

import re

import nh3

_FORMATTING = frozenset({"a", "b", "code", "em", "i", "s", "small", "strong", "u"})
_PLAIN = frozenset(
    [
        "abbr",
        "blockquote",
        "br",
        "caption",
        "center",
        "col",
        "colgroup",
        "dd",
        "div",
        "dl",
        "dt",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "span",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
TAGS = _FORMATTING | _PLAIN
_VOID = frozenset({"br", "hr", "col"})
# The content of these tags is not text of the mail, or follows other rules than HTML.
_DROPPED = frozenset(
    [
        "applet",
        "embed",
        "frameset",
        "head",
        "iframe",
        "math",
        "noscript",
        "object",
        "script",
        "select",
        "style",
        "svg",
        "template",
        "textarea",
        "title",
    ]
)
ATTRIBUTES = {"a": {"href"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}, "ol": {"start"}, "*": {"dir"}}
_ALLOWED_ATTRIBUTES = frozenset({"href", "colspan", "rowspan", "start", "dir"})

_MAX_DEPTH = 100
_MAX_FORMATTING_DEPTH = 8
_NO_BARRIER: frozenset[str] = frozenset()
_CELLS = frozenset({"td", "th"})
# For an opening tag: which open tags it closes, and at which open tags (the barrier) the search for them stops.
_ENDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "a": (frozenset({"a"}), _CELLS | {"table"}),
    "p": (frozenset({"p"}), _CELLS | {"div", "li", "blockquote", "dd"}),
    "li": (frozenset({"li"}), frozenset({"ul", "ol"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "td": (_CELLS, frozenset({"tr", "table"})),
    "th": (_CELLS, frozenset({"tr", "table"})),
    "tr": (frozenset({"tr"}), frozenset({"table"})),
    **dict.fromkeys(("tbody", "thead", "tfoot"), (frozenset({"tbody", "thead", "tfoot"}), frozenset({"table"}))),
}

_TAG_OPEN = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})(?=[\s/>])")
_MARKUP = re.compile(r"<[a-zA-Z!?/]")
_ATTRIBUTE = re.compile(r"""[\s/]*([^\s/>=]+)?(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")
_DROPPED_END = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _DROPPED}

_cleaner = nh3.Cleaner(
    tags=set(TAGS),
    attributes=ATTRIBUTES,
    clean_content_tags=set(_DROPPED),
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank", "referrerpolicy": "no-referrer"}},
    strip_comments=True,
    generic_attribute_prefixes=set(),
)


def sanitised(html: str) -> str:
    """Return the markup without its unsafe parts. The caller must limit the length of the input."""
    return _cleaner.clean(_WellNested().rewrite(html)).strip()


def has_images(html: str) -> bool:
    """Return whether the markup has images, so that a page can say that they are not shown."""
    return re.search(r"<(?:img|image|picture)[\s/>]", html, re.IGNORECASE) is not None


class _WellNested:
    """Rewrites markup so that it has only allowed tags, which are well nested and limited in depth.

    Text is not changed.
    """

    def __init__(self) -> None:
        self._out: list[str] = []
        self._open: list[str] = []
        self._formatting = 0

    def rewrite(self, html: str) -> str:
        position = 0
        while (start := html.find("<", position)) >= 0:
            self._out.append(html[position:start])
            position = self._markup(html, start)
        self._out.append(html[position:])
        self._close(len(self._open))
        return "".join(self._out)

    def _markup(self, html: str, start: int) -> int:
        """Process the markup whose "<" is at `start`. Return the position after the markup."""
        match = _TAG_OPEN.match(html, start)
        if match:
            return self._tag(html, match)
        if html.startswith("<!--", start):
            return _after(html, "-->", start + 4)
        if _MARKUP.match(html, start):
            return _after(html, ">", start)
        self._out.append("&lt;")
        return start + 1

    def _tag(self, html: str, match: re.Match[str]) -> int:
        name = match[2].lower()
        attributes, end = _attributes(html, match.end())
        if match[1]:
            self._end(name)
        elif name in _DROPPED:
            closing = _DROPPED_END[name].search(html, end)
            return _after(html, ">", closing.start()) if closing else len(html)
        elif name in TAGS:
            self._begin(name, attributes)
        return end

    def _begin(self, name: str, attributes: str) -> None:
        ends, barrier = _ENDS.get(name, (_NO_BARRIER, _NO_BARRIER))
        if ends:
            self._close(self._depth_of(ends, barrier))
        if name in _VOID:
            self._out.append(f"<{name}{attributes}>")
            return
        if name == "a" and "a" in self._open:
            # Parsers handle a link inside a link in different ways, so the inner link is removed. Its text remains.
            return
        is_formatting = name in _FORMATTING
        # Parsers repeat open formatting tags in every later block, so their depth multiplies the size of the result.
        if len(self._open) >= _MAX_DEPTH or (is_formatting and self._formatting >= _MAX_FORMATTING_DEPTH):
            return
        self._open.append(name)
        self._formatting += is_formatting
        self._out.append(f"<{name}{attributes}>")

    def _end(self, name: str) -> None:
        self._close(self._depth_of(frozenset({name}), _NO_BARRIER if name in ("table", "tr") else _CELLS - {name}))

    def _depth_of(self, names: frozenset[str], barrier: frozenset[str]) -> int:
        """Return how many open tags must be closed to close the innermost open tag among `names`.

        Return 0 if no such tag is open, or if a tag of `barrier` was opened inside it.
        """
        for depth, name in enumerate(reversed(self._open), start=1):
            if name in names:
                return depth
            if name in barrier:
                break
        return 0

    def _close(self, depth: int) -> None:
        for _ in range(depth):
            name = self._open.pop()
            self._formatting -= name in _FORMATTING
            self._out.append(f"</{name}>")


def _attributes(html: str, position: int) -> tuple[str, int]:
    """Return the allowed attributes of a tag as markup with new quotes, and the position after the tag."""
    allowed: dict[str, str] = {}
    while position < len(html) and html[position] != ">":
        match = _ATTRIBUTE.match(html, position)
        position = max(match.end(), position + 1) if match else position + 1
        if match and match[1] and match[1].lower() in _ALLOWED_ATTRIBUTES:
            value = match[2] or ""
            if value[:1] in ('"', "'"):
                value = value[1:-1] if value[-1:] == value[:1] else value[1:]
            allowed.setdefault(match[1].lower(), value.replace('"', "&quot;"))
    return "".join(f' {name}="{value}"' for name, value in allowed.items()), position + 1


def _after(html: str, closing: str, position: int) -> int:
    end = html.find(closing, position)
    return len(html) if end < 0 else end + len(closing)
