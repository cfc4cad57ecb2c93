"""The bar in a row of a table: how a count divides."""

from collections.abc import Mapping

from markupsafe import Markup

WIDTH, LEAST = 160, 3


def share_bar(parts: Mapping[str, int], *, whole: int, said: str) -> Markup:
    """A bar for a row of a table: counts beside each other as parts of a whole.

    parts: by the colour's name in the page's style: `good`, `bad` or `watch`. A single one among millions is
    still seen.

    >>> bar = share_bar({"good": 999_999, "bad": 1}, whole=1_000_000, said="1 is bad")
    >>> '<rect class="part-bad" x="157" width="3"' in bar
    True
    """
    sizes = {kind: max(LEAST, round(WIDTH * count / whole)) if count else 0 for kind, count in parts.items()}
    largest = max(sizes, key=lambda kind: sizes[kind])
    sizes[largest] = min(sizes[largest], WIDTH - sum(sizes.values()) + sizes[largest])
    bar, start = Markup('<rect class="shade" width="{}" height="10"/>').format(WIDTH), 0
    for kind, size in sizes.items():
        bar += Markup('<rect class="part-{}" x="{}" width="{}" height="10"/>').format(kind, start, size)
        start += size
    return Markup('<svg width="{}" height="10" role="img" aria-label="{}">{}</svg>').format(WIDTH, said, bar)
