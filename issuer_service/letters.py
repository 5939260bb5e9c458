"""Letters to one person, as PDF: the offer with its QR code, and, apart, the code to type.

Two letters, since two envelopes by two ways are what makes a stolen one useless. Names are set in
DejaVu Sans with HarfBuzz, so that Greek, Cyrillic, Arabic and Hebrew stand as they should; a name
that the font cannot write is left to the clerk's hand. fpdf2 is imported when the first letter is
printed. ADR 0027.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import segno
from babel.dates import format_date

from shared.runtime.languages import Languages, mark

if TYPE_CHECKING:
    from fpdf import FPDF

_FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
_LEFT, _WIDTH = 25.0, 160.0  # millimetres, A4; the address stands in the window of DIN 5008
_QR = 60.0

OFFER_TITLE = mark("Your digital document is ready")
OFFER_TEXT = (
    mark("You can now load this document into the wallet on your phone: %(documents)s."),
    mark("1. Open your wallet and choose “Scan a code”."),
    mark("2. Hold the camera over the code below."),
    mark("3. The wallet asks for a code. It comes in a second letter. Type it."),
    mark("The offer is good until %(until)s. If you are too late, ask us for a new one."),
    mark("Nobody from our agency will ask you for the code, neither by telephone nor by e-mail."),
)
CODE_TITLE = mark("Your code")
CODE_TEXT = (
    mark("In another letter you received a QR code for this document: %(documents)s."),
    mark("When your wallet asks for a code after you have scanned it, type this one:"),
    mark("After five wrong tries the offer is locked. Then ask us for a new one."),
    mark("Keep this letter to yourself, and destroy it when you have loaded the document."),
)


@dataclass(frozen=True, slots=True)
class Letter:
    """What both letters say.

    Attributes:
        address: the person's name and where they live, line by line; a name that is not known, or
            an address that is protected, is left out.
        documents: what is offered, as the reader calls it.
        reference: of the offer, for whoever calls the agency about it.
    """

    agency: str
    address: Sequence[str]
    documents: str
    until: datetime
    date: datetime
    reference: str


def offer_letter(letter: Letter, link: str, languages: Languages, tag: str) -> bytes:
    """The letter with the QR code of *link*, in the language *tag*."""
    pdf = _begun(letter, languages, tag, OFFER_TITLE)
    values = {
        "documents": letter.documents,
        "until": f"{format_date(letter.until, 'long', locale=tag)}, {letter.until:%H:%M} UTC",
    }
    for text in OFFER_TEXT:
        _paragraph(pdf, languages.text(tag, text) % values)
    _qr(pdf, link)
    return bytes(pdf.output())


def code_letter(letter: Letter, code: str, languages: Languages, tag: str) -> bytes:
    """The letter with the Transaction Code; it shows nothing that leads to the offer."""
    pdf = _begun(letter, languages, tag, CODE_TITLE)
    before, after = CODE_TEXT[:2], CODE_TEXT[2:]
    for text in before:
        _paragraph(pdf, languages.text(tag, text) % {"documents": letter.documents})
    pdf.set_font(size=28)
    pdf.multi_cell(_WIDTH, 20, code, align="C", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font(size=11)
    for text in after:
        _paragraph(pdf, languages.text(tag, text))
    return bytes(pdf.output())


def can_write(text: str) -> bool:
    """Whether the font has a glyph for every character of *text*."""
    return {ord(each) for each in text} <= _characters()


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]  # noqa: PLC0415

    with TTFont(_FONT, lazy=True) as font:
        return frozenset(font.getBestCmap())


def _begun(letter: Letter, languages: Languages, tag: str, title: str) -> "FPDF":
    """A page with the agency, the address, the date and a heading."""
    from fpdf import FPDF  # noqa: PLC0415  # ten megabytes that only letters need

    pdf = FPDF(format="A4")
    heading = languages.text(tag, title)
    pdf.set_title(heading)
    pdf.set_lang(tag)
    pdf.set_author(letter.agency)
    pdf.set_creation_date(letter.date)
    pdf.set_margins(_LEFT, 20, 25)
    pdf.add_font("letter", fname=_FONT)
    pdf.add_page()
    pdf.set_font("letter", size=11)
    pdf.set_text_shaping(use_shaping_engine=True)
    _paragraph(pdf, letter.agency)
    pdf.set_y(50)
    for line in letter.address:
        if can_write(line):
            pdf.cell(_WIDTH, 6, line, new_x="LMARGIN", new_y="NEXT")
        else:
            pdf.ln(6)
    pdf.set_y(95)
    day = format_date(letter.date, "long", locale=tag)
    pdf.multi_cell(_WIDTH, 6, day, align="R", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(4)
    pdf.set_font(size=15)
    _paragraph(pdf, heading)
    pdf.set_font(size=11)
    number = languages.text(tag, mark("Number of the offer: %(reference)s"))
    _paragraph(pdf, number % {"reference": letter.reference})
    return pdf


def _paragraph(pdf: "FPDF", text: str) -> None:
    pdf.multi_cell(_WIDTH, 6, text, align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


def _qr(pdf: "FPDF", link: str) -> None:
    """Squares, as small printers like them best; with the quiet zone of four modules."""
    rows = list(segno.make(link, error="m", micro=False).matrix)
    size = _QR / len(rows)
    left, top = (210 - _QR) / 2, pdf.get_y() + 4 * size
    pdf.set_fill_color(0)
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                pdf.rect(left + x * size, top + y * size, size, size, style="F")
