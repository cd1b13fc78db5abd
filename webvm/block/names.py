"""Files named by their content, so that they never change: 80 bits of BLAKE2b in base32."""

import base64
import hashlib
import re

_name = re.compile("[a-z2-7]{16}")


def content_name(content: bytes) -> str:
    return base64.b32encode(hashlib.blake2b(content, digest_size=10).digest()).decode().lower()


def is_content_name(name: object) -> bool:
    return isinstance(name, str) and bool(_name.fullmatch(name))
