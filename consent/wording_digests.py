"""The digest of every wording that there ever was, by tag and language: what was shown must not change unnoticed.

A test compares the current ones with the catalogue and its translations, and `verify_ledger` what is stored with all.
Nothing here is ever changed or removed: a text that changes needs a new tag, and that a new entry.
"""

# Tags of before texts were kept. Events name them, and nobody can show the words.
NOT_KEPT = frozenset(
    {"le_chat_console/1", "le_chat_console/2", "le_chat_mobile/1", "le_chat_mobile/2", "ai_studio_console/1"}
)

DIGESTS: dict[str, dict[str, str]] = {
    "le_chat_console/3": {
        "en": "2f9b47af52e87b353a78ac9947bccdc089eb9292fc9df5a517f1d45bbbef4f6c",
        "fr": "75a5c3477af000a013884aeb9636ddcbaeb13602b00a42583173cf39a69c9306",
    },
    "le_chat_mobile/3": {
        "en": "4c1ab939b26ab020c5b6efaca60b4372406dfd147cd5f64d05b96fb0b5f9958e",
        "fr": "01481a2f01e16301ccdb3e96cc0ce284f5215213b21fda4ce21b84b9d11e120d",
    },
    "ai_studio_console/2": {
        "en": "c5c3bae1adb607aa8299c74b04d6806f6a23e005c00d9809832de7a402203755",
        "fr": "c93b767762accf25dac838f28ad01ba800b33cd7ed5d6c5f3c3e988d3f0beb6f",
    },
}
