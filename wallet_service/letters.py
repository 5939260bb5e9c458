"""Letters a citizen may send about something they shared: to erase it, to look into it.

The wallet sends nothing itself: the text goes into the citizen's own mail program or the agency's
form, and the log remembers that it was asked for. No value of a claim stands in a letter.

Specification: TS7 (DATA_DLT_02, 06, 08 and 09) and TS8 of the EUDI wallet; Regulation (EU)
2016/679, articles 17 and 77.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from . import wording

Kind: TypeAlias = Literal["erasure", "report"]

_SUBJECTS: Mapping[Kind, Mapping[str, str]] = {
    "erasure": {
        "en": "Request to erase personal data (Article 17 GDPR)",
        "de": "Antrag auf Löschung personenbezogener Daten (Artikel 17 DSGVO)",
        "fr": "Demande d'effacement de données personnelles (article 17 RGPD)",
        "ar": "طلب محو بيانات شخصية (المادة 17 من اللائحة العامة لحماية البيانات)",
    },
    "report": {
        "en": "Complaint about a request for personal data (Article 77 GDPR)",
        "de": "Beschwerde über eine Abfrage personenbezogener Daten (Artikel 77 DSGVO)",
        "fr": "Réclamation sur une demande de données personnelles (article 77 RGPD)",
        "ar": "شكوى بشأن طلب بيانات شخصية (المادة 77 من اللائحة العامة لحماية البيانات)",
    },
}

_BODIES: Mapping[Kind, Mapping[str, str]] = {
    "erasure": {
        "en": "To {agency}\n\nOn {moment} I shared the data named below with you by my wallet.\n"
        "Purpose you gave: {purpose}\n\n{claims}\n\nPlease erase these data and confirm that you "
        "have done so. If you may not erase them, please tell me why and how long you keep them.",
        "de": "An {agency}\n\nAm {moment} habe ich Ihnen mit meiner Brieftasche die unten "
        "genannten Daten gezeigt.\nIhr Zweck: {purpose}\n\n{claims}\n\nBitte löschen Sie diese "
        "Daten und bestätigen Sie mir das. Dürfen Sie sie nicht löschen, nennen Sie mir bitte den "
        "Grund und die Dauer der Speicherung.",
        "fr": "À {agency}\n\nLe {moment}, je vous ai montré les données ci-dessous avec mon "
        "portefeuille.\nVotre finalité : {purpose}\n\n{claims}\n\nVeuillez effacer ces données et "
        "me le confirmer. Si vous ne pouvez pas les effacer, dites-moi pourquoi et combien de "
        "temps vous les gardez.",
        "ar": "إلى {agency}\n\nفي {moment} شاركت معكم البيانات المذكورة أدناه بواسطة محفظتي.\n"
        "الغرض الذي ذكرتموه: {purpose}\n\n{claims}\n\nأرجو محو هذه البيانات وتأكيد ذلك. وإن لم "
        "يكن ذلك جائزًا فأرجو إخباري بالسبب وبمدة الاحتفاظ بها.",
    },
    "report": {
        "en": "On {moment} {agency} asked my wallet for the data named below, and I shared them.\n"
        "Purpose they gave: {purpose}\n\n{claims}\n\nI ask you to look into this, because:\n\n",
        "de": "Am {moment} hat {agency} meine Brieftasche nach den unten genannten Daten gefragt, "
        "und ich habe sie gezeigt.\nGenannter Zweck: {purpose}\n\n{claims}\n\nBitte prüfen Sie "
        "das, denn:\n\n",
        "fr": "Le {moment}, {agency} a demandé à mon portefeuille les données ci-dessous, et je "
        "les ai montrées.\nFinalité indiquée : {purpose}\n\n{claims}\n\nVeuillez examiner cela, "
        "car :\n\n",
        "ar": "في {moment} طلبت {agency} من محفظتي البيانات المذكورة أدناه وشاركتها معها.\n"
        "الغرض المذكور: {purpose}\n\n{claims}\n\nأرجو النظر في ذلك، لأن:\n\n",
    },
}


def letter(
    kind: Kind, *, agency: str, moment: str, purpose: str, claims: Sequence[str], locale: str
) -> dict[str, str]:
    """Subject and text in the citizen's language.

    Args:
        kind: to the agency, or about it.
        agency: its name.
        moment: when something was shared, in words.
        purpose: in the words of the trust list; may be empty.
        claims: the labels of what was shared.
        locale: the citizen's language.
    """
    listed = "\n".join(f"- {each}" for each in claims)
    body = wording.choose(_BODIES[kind], locale)
    return {
        "subject": wording.choose(_SUBJECTS[kind], locale),
        "body": body.format(
            agency=agency, moment=moment, purpose=purpose or "\N{EN DASH}", claims=listed
        ),
    }
