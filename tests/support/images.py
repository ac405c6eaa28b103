"""Images for tests: as small as they can be, and as handlers make them to be looked at."""

from __future__ import annotations

import base64
import struct
import zlib

JPEG = base64.b64decode('/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP////////////////////////////////////////////////////////////'
                        '//////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABQQAQAAAAAAAAAAAAAA'
                        'AAAAAAD/2gAIAQEAAD8AN//Z')
WEBP = base64.b64decode('UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==')
SVG = (b'<?xml version="1.0"?>\n<!-- made by a test -->\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd">\n'
       b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="red"/></svg>')
SCRIPTED = SVG.replace(b'<rect', b'<script>parent.document.title = "taken"</script><rect onload="alert(1)"')


def png(red: int = 200) -> bytes:
    """Return an image of one pixel, which is as red as is said."""
    header = struct.pack('>IIBBBBB', 1, 1, 8, 2, 0, 0, 0)
    parts = ((b'IHDR', header), (b'IDAT', zlib.compress(bytes([0, red, 0, 0]))), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data)) for name, data in parts)
