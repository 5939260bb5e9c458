"""Which of several languages a citizen reads, and the few words the API itself says.

Every state has a word: nothing is said by colour or picture alone (PAIN_POINTS 11).
"""

from collections.abc import Mapping

FALLBACK = "en"

BADGES: Mapping[str, Mapping[str, str]] = {
    "valid": {
        "en": "Valid",
        "de": "Gültig",
        "fr": "Valide",
        "ar": "صالحة",
    },
    "not_checked": {
        "en": "Not checked yet",
        "de": "Noch nicht geprüft",
        "fr": "Pas encore vérifié",
        "ar": "لم يتم التحقق منها بعد",
    },
    "not_yet_valid": {
        "en": "Not valid yet",
        "de": "Noch nicht gültig",
        "fr": "Pas encore valide",
        "ar": "لم تصبح صالحة بعد",
    },
    "expired": {
        "en": "Expired",
        "de": "Abgelaufen",
        "fr": "Expiré",
        "ar": "منتهية الصلاحية",
    },
    "suspended": {
        "en": "Suspended by the agency",
        "de": "Von der Behörde ausgesetzt",
        "fr": "Suspendu par l'administration",
        "ar": "أوقفتها الجهة مؤقتًا",
    },
    "revoked": {
        "en": "Revoked by the agency",
        "de": "Von der Behörde widerrufen",
        "fr": "Révoqué par l'administration",
        "ar": "ألغتها الجهة",
    },
}

NEXT_STEPS: Mapping[str, Mapping[str, str]] = {
    "expired": {
        "en": "Ask the agency for a new one.",
        "de": "Bitten Sie die Behörde um ein neues.",
        "fr": "Demandez-en un nouveau à l'administration.",
        "ar": "اطلب من الجهة وثيقة جديدة.",
    },
    "suspended": {
        "en": "It may be used again once the agency lifts the suspension. Ask the agency why.",
        "de": "Es gilt wieder, sobald die Behörde die Aussetzung aufhebt. Fragen Sie dort nach.",
        "fr": "Il pourra resservir quand l'administration lèvera la suspension.",
        "ar": "يمكن استخدامها من جديد عندما ترفع الجهة الإيقاف. اسأل الجهة عن السبب.",
    },
    "revoked": {
        "en": "It is no longer accepted. Ask the agency why, and for a new one.",
        "de": "Es wird nicht mehr angenommen. Fragen Sie die Behörde nach Grund und Ersatz.",
        "fr": "Il n'est plus accepté. Demandez la raison et un nouveau à l'administration.",
        "ar": "لم تعد مقبولة. اسأل الجهة عن السبب واطلب وثيقة جديدة.",
    },
}

WARNINGS: Mapping[str, Mapping[str, str]] = {
    "purpose_unknown": {
        "en": "The agency has not registered this purpose.",
        "de": "Die Behörde hat diesen Zweck nicht registriert.",
        "fr": "L'administration n'a pas enregistré cette finalité.",
        "ar": "لم تسجّل الجهة هذا الغرض.",
    },
    "type_not_registered": {
        "en": "The agency is not registered to ask for this document.",
        "de": "Die Behörde ist für die Frage nach diesem Dokument nicht registriert.",
        "fr": "L'administration n'est pas autorisée à demander ce document.",
        "ar": "الجهة غير مسجّلة لطلب هذه الوثيقة.",
    },
    "over_asked": {
        "en": "The agency asks for more than its registered purpose needs.",
        "de": "Die Behörde fragt nach mehr, als ihr registrierter Zweck braucht.",
        "fr": "L'administration demande plus que ce que prévoit la finalité enregistrée.",
        "ar": "تطلب الجهة أكثر مما يحتاجه الغرض المسجّل.",
    },
    "cross_device_not_allowed": {
        "en": "The agency may not ask for this by a code scanned from another screen.",
        "de": "Die Behörde darf das nicht durch einen Code auf einem anderen Bildschirm fragen.",
        "fr": "L'administration ne peut pas le demander par un code lu sur un autre écran.",
        "ar": "لا يجوز للجهة أن تطلب هذا برمز مقروء من شاشة أخرى.",
    },
    "verifier_unknown": {
        "en": "Nobody vouches for who asks here. Share nothing that matters.",
        "de": "Niemand bürgt dafür, wer hier fragt. Zeigen Sie nichts Wichtiges.",
        "fr": "Personne ne garantit qui pose cette question. Ne partagez rien d'important.",
        "ar": "لا أحد يضمن هوية من يسأل هنا. لا تشارك شيئًا مهمًا.",
    },
    "other_device": {
        "en": "This request came from outside this browser, such as a code on another screen. "
        "Go on only if you are at that agency, and never because somebody sent you the code.",
        "de": "Diese Frage kommt von außerhalb dieses Browsers, etwa von einem Code auf einem "
        "anderen Bildschirm. Machen Sie nur weiter, wenn Sie bei dieser Behörde sind, und nie, "
        "weil jemand Ihnen den Code geschickt hat.",
        "fr": "Cette demande vient de l'extérieur de ce navigateur, par exemple d'un code sur un "
        "autre écran. Continuez seulement si vous êtes auprès de cette administration, jamais "
        "parce que quelqu'un vous a envoyé le code.",
        "ar": "جاء هذا الطلب من خارج هذا المتصفح، مثلًا من رمز على شاشة أخرى. تابع فقط إذا كنت عند "
        "هذه الجهة، ولا تتابع أبدًا لأن أحدًا أرسل إليك الرمز.",
    },
    "not_encrypted": {
        "en": "The answer is not encrypted for the agency.",
        "de": "Die Antwort ist nicht für die Behörde verschlüsselt.",
        "fr": "La réponse n'est pas chiffrée pour l'administration.",
        "ar": "الجواب غير مشفّر للجهة.",
    },
    "test_environment": {
        "en": "This is a test environment.",
        "de": "Das ist eine Testumgebung.",
        "fr": "Ceci est un environnement de test.",
        "ar": "هذه بيئة اختبار.",
    },
    "card_not_valid": {
        "en": "This document is not valid now and will probably be refused.",
        "de": "Dieses Dokument gilt jetzt nicht und wird wohl abgelehnt.",
        "fr": "Ce document n'est pas valable actuellement et sera sans doute refusé.",
        "ar": "هذه الوثيقة غير صالحة الآن وستُرفض على الأرجح.",
    },
    "copy_reused": {
        "en": "No unused copy is left: agencies that compare notes could recognise this one.",
        "de": "Kein unbenutztes Exemplar ist übrig: Behörden könnten dieses wiedererkennen.",
        "fr": "Il ne reste aucun exemplaire inutilisé : celui-ci pourrait être reconnu.",
        "ar": "لم تبق نسخة غير مستخدمة: قد تتعرّف الجهات على هذه النسخة إذا قارنت ما لديها.",
    },
}

_IDENTITY = {
    "en": "Identity card",
    "de": "Personalausweis",
    "fr": "Carte d'identité",
    "ar": "بطاقة الهوية",
}
_DRIVING = {
    "en": "Driving licence",
    "de": "Führerschein",
    "fr": "Permis de conduire",
    "ar": "رخصة القيادة",
}
_DISABILITY = {
    "en": "Disability card",
    "de": "Behindertenausweis",
    "fr": "Carte d'invalidité",
    "ar": "بطاقة الإعاقة",
}
_STUDENT = {
    "en": "Student card",
    "de": "Studierendenausweis",
    "fr": "Carte d'étudiant",
    "ar": "بطاقة الطالب",
}
TYPES: Mapping[str, Mapping[str, str]] = {
    "urn:eudi:pid:1": _IDENTITY,
    "eu.europa.ec.eudi.pid.1": _IDENTITY,
    "org.iso.18013.5.1.mDL": _DRIVING,
    "urn:citizen-wallet:residence:1": {
        "en": "Proof of residence",
        "de": "Wohnsitznachweis",
        "fr": "Attestation de domicile",
        "ar": "إثبات السكن",
    },
    "urn:citizen-wallet:disability-card:1": _DISABILITY,
    "citizen-wallet.disability-card.1": _DISABILITY,
    "urn:citizen-wallet:student-card:1": _STUDENT,
    "citizen-wallet.student-card.1": _STUDENT,
}
"""What documents are called of which the wallet holds none; of one it holds, the agency's word."""

REFUSING = {
    "en": "The agency learns only that nothing was shared, not why.",
    "de": "Die Behörde erfährt nur, dass nichts gezeigt wurde, nicht warum.",
    "fr": "L'administration apprend seulement que rien n'a été partagé, et non pourquoi.",
    "ar": "تعرف الجهة فقط أنه لم يُشارَك شيء، ولا تعرف السبب.",
}


ANSWERS: Mapping[bool, Mapping[str, str]] = {
    True: {"en": "yes", "de": "ja", "fr": "oui", "ar": "نعم"},
    False: {"en": "no", "de": "nein", "fr": "non", "ar": "لا"},
}

SEX: Mapping[int, Mapping[str, str]] = {
    0: {"en": "not known", "de": "nicht bekannt", "fr": "inconnu", "ar": "غير معروف"},
    1: {"en": "male", "de": "männlich", "fr": "masculin", "ar": "ذكر"},
    2: {"en": "female", "de": "weiblich", "fr": "féminin", "ar": "أنثى"},
    3: {"en": "other", "de": "andere", "fr": "autre", "ar": "آخر"},
    4: {"en": "inter", "de": "inter", "fr": "inter", "ar": "بيني"},
    5: {"en": "diverse", "de": "divers", "fr": "divers", "ar": "متنوع"},
    6: {"en": "open", "de": "offen", "fr": "ouvert", "ar": "مفتوح"},
    9: {"en": "not applicable", "de": "entfällt", "fr": "sans objet", "ar": "لا ينطبق"},
}
"""ISO/IEC 5218, and what the EUDI PID Rulebook (section 2.3) adds to it."""


def choose(texts: Mapping[str, str], locale: str) -> str:
    """The text whose language tag fits *locale* best: the tag itself, its language, English, any.

    Specification: RFC 4647, section 3.4 (lookup), with a fallback.
    """
    by_tag = {tag.lower(): text for tag, text in texts.items()}
    wanted = locale.lower()
    while wanted:
        if wanted in by_tag:
            return by_tag[wanted]
        nearby = [text for tag, text in by_tag.items() if tag.startswith(f"{wanted}-")]
        if nearby:
            return nearby[0]
        wanted = wanted.rpartition("-")[0]
    return by_tag.get(FALLBACK) or next(iter(texts.values()), "")
