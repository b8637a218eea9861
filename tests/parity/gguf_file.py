"""A minimal GGUF 3 writer for the golden makers: keys as Python values, tensors as float32 arrays."""
import struct

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def _string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(v):
    if isinstance(v, bool):
        return BOOL, struct.pack("<B", v)
    if isinstance(v, int):
        return U32, struct.pack("<I", v)
    if isinstance(v, float):
        return F32, struct.pack("<f", v)
    if isinstance(v, (str, bytes)):
        return STRING, _string(v)
    kind = STRING if isinstance(v[0], (str, bytes)) else F32 if isinstance(v[0], float) else I32
    code = {STRING: _string, F32: lambda x: struct.pack("<f", x), I32: lambda x: struct.pack("<i", x)}[kind]
    return ARRAY, struct.pack("<IQ", kind, len(v)) + b"".join(code(x) for x in v)


def write(path, keys, tensors):
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for key, v in keys.items():
        kind, data = _value(v)
        out += _string(key) + struct.pack("<I", kind) + data
    blob = b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array, dtype="<f4")
        blob += b"\0" * (-len(blob) % 32)
        out += _string(name) + struct.pack("<I", array.ndim)
        out += b"".join(struct.pack("<Q", d) for d in reversed(array.shape)) + struct.pack("<IQ", 0, len(blob))
        blob += array.tobytes()
    with open(path, "wb") as f:
        f.write(out + b"\0" * (-len(out) % 32) + blob)


def write_golden(folder, name, tensors):
    """The format of golden.h: names and dims as text, values one after another."""
    with open("%s/%s.txt" % (folder, name), "w") as text, open("%s/%s.f32" % (folder, name), "wb") as data:
        for key, array in tensors.items():
            text.write("%s %s\n" % (key, " ".join(str(d) for d in array.shape)))
            data.write(np.ascontiguousarray(array, dtype="<f4").tobytes())
