"""Pages of ours, read back as a browser reads them: texts of elements, without scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "input", "br", "link", "img"}


@dataclass
class Element:
    """An element: its name, attributes, and what is in it in order, elements or text."""

    name: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    content: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(part if isinstance(part, str) else part.text for part in self.content)

    @property
    def below(self) -> list[Element]:
        """All elements in it, in order."""
        inner = [part for part in self.content if isinstance(part, Element)]
        return [found for part in inner for found in (part, *part.below)]

    @property
    def dropped(self) -> list[Element]:
        """Words that left, each an element w-3 for layer 3."""
        return [element for element in self.below if element.name.startswith("w-")]

    def all(self, name: str, **attributes: str) -> list[Element]:
        """All elements of this name below it, in order, with these attributes (`class_` for class)."""
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [own for own in self.below if own.name == name and wanted.items() <= own.attributes.items()]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].content.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].content.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> ends <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)


def parsed(text: str) -> Element:
    """A page; elements have to be closed in the order in which they were opened."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert len(parser.open) == 1, [element.name for element in parser.open]
    return parser.open[0]
