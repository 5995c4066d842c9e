"""Facts to render, in eleven writings, and texts that break layouts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from shared.rendering import CertificateFacts

ADA = CertificateFacts(
    learner_name="Ada Lovelace",
    course_title="Reading Maps: Contours, Bearings and Scale",
    author="Inge Lehmann",
    issuer_name="The Open Cartography School",
    hours=Decimal("24.0"),
    score=Decimal("92.50"),
    completed_on=date(2026, 11, 20),
    issued_on=date(2026, 11, 21),
    expires_on=date(2029, 11, 21),
    code="K7QW-3MPX-9DTR-HV4C",
    verify_url="https://learn.example.org/certificates/verify/K7QW-3MPX-9DTR-HV4C",
)


def facts(name: str, title: str, author: str | None = None) -> CertificateFacts:
    return replace(ADA, learner_name=name, course_title=title, author=author)


SCRIPTS = {
    "Latin": facts(
        "Žofie Nguyễn-Łukasiewicz", "Đại số tuyến tính für Anfänger: Übung", "Þórður Ásgrímsson"
    ),
    "Greek": facts("Ελένη Παπαδοπούλου", "Εισαγωγή στη χαρτογραφία", "Ἀριστοτέλης"),
    "Cyrillic": facts("Анастасія Їжакевич", "Введение в картографию: масштаб", "Ђорђе Ћирић"),
    "Arabic": facts("محمّد عبد الله الخوارزمي", "مقدّمة في قراءة الخرائط", "فاطمة الزهراء"),
    "Hebrew": facts("שרה בת־אל כהן", "קריאת מפות וקווי גובה", "דוד בן־גוריון"),
    "Devanagari": facts("श्रीमती लक्ष्मी कृष्णमूर्ति", "मानचित्र पठन और दिशा-ज्ञान", "राजेन्द्र प्रसाद"),
    "Thai": facts("สมหญิง ศรีสุวรรณกุล", "การอ่านแผนที่เบื้องต้น", "ปรีชา"),
    "Simplified Chinese": facts("欧阳静怡", "地图阅读入门:等高线、方位与比例尺", "张䶮"),
    "Traditional Chinese": facts("歐陽靜怡", "地圖閱讀入門「基礎」", "陳骨直"),
    "Japanese": facts("髙橋 直子", "地図の読み方入門・縮尺", "渡邊 骨太郎"),
    "Korean": facts("김하늘", "지도 읽기 입문: 등고선과 방위", "박서준"),
}

# The other writings whose letters the fonts have.
MORE_NAMES = (
    "Արմեն Պետրոսյան", "ქეთევან ბერიძე", "অনন্যা সেন", "ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ", "પ્રિયા પટેલ", "ପ୍ରିୟଙ୍କା ଦାସ",
    "தமிழ்ச்செல்வி", "శ్రీనివాస్ రావు", "ಕಾವ್ಯ ಗೌಡ", "ലക്ഷ്മി നായർ", "සුනිල් පෙරේරා", "សុខ សុវណ្ណ", "ສົມຊາຍ",
    "အောင်မြင့်", "ተስፋዬ አበበ", "བསྟན་འཛིན", "فرهاد پژمان", "محمد ظہیر ٹنڈو",
)  # fmt: skip

LONG = {
    "words": facts(
        ("Maximiliana Ottoline von Hohenzollern-Sigmaringen de la Fontaine " * 4)[:200],
        ("An Unreasonably Long Introduction to Reading Maps, Contours and Everything Else " * 4)[
            :300
        ],
        "Inge Lehmann " * 15,
    ),
    "no spaces": facts("W" * 200, "m" * 300, "W" * 200),
    "a long word between short ones": facts(
        f"ab {'m' * 100} cd {'W' * 30}", ("Donaudampfschifffahrtselektrizität" * 2 + " ") * 4
    ),
    "Arabic": facts("محمد بن عبد الله " * 11, "مقدمة في قراءة الخرائط وخطوط التسوية " * 8),
    "Arabic without spaces": facts("محمد" * 50, "خرائط" * 60),
    "Thai": facts("สมหญิง" * 33, "การอ่านแผนที่เบื้องต้นสำหรับผู้เริ่มต้น" * 7),
    "Thai that is no word": facts("ก" * 200, "กา" * 150),
    "Khmer that is no word": facts("ម" * 200, "ម" * 300),
    "Han": facts("欧阳静怡" * 50, "地图" * 150, "张" * 200),
    "Hangul": facts("한" * 200, "지도 " * 100),
    "Devanagari": facts("क्ष्मी" * 33, "मानचित्र पठन " * 23),
    "marks": facts("a" + "\u0301" * 199, ("Z" + "\u0337\u0316\u034e\u0349\u033d" * 8) * 7),
    "marks on marks": facts(("\u0e01" + "\u0e49" * 20) * 10, "X" + "\u200d\u0300" * 100),
    "emoji": facts("👩‍👩‍👧‍👦" * 28, "🎓🏽🇪🇺👍" * 60),
    "one letter": facts("I", "C"),
    "issuer": replace(ADA, issuer_name="The Society of Very Long Names " * 6),
    "issuer without spaces": replace(ADA, issuer_name="Ö" * 200),
    "address": replace(ADA, verify_url=ADA.verify_url + "?" + "x" * 400),
}
