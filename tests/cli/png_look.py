#!/usr/bin/python3
"""png_look.py FILE PAGE INK: is the first pixel of the picture of colour PAGE, and is some pixel of colour INK? Colours are hexadecimal.

Reads 8-bit RGB and RGBA without interlacing, as browsers and pdftoppm write them, with the standard library alone.
"""
import struct
import sys
import zlib


def rows(data):
    at, idat, width, pixel = 8, b"", 0, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, _, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and not interlace, "an unusual PNG"
            pixel = 3 if colour == 2 else 4
        elif kind == b"IDAT":
            idat += body
        at += size + 12
    raw, stride = zlib.decompress(idat), width * pixel
    before = bytearray(stride)
    for begin in range(0, len(raw), stride + 1):
        how, row = raw[begin], bytearray(raw[begin + 1 : begin + 1 + stride])
        for i in range(stride):
            left = row[i - pixel] if i >= pixel else 0
            corner = before[i - pixel] if i >= pixel else 0
            if how == 1:
                row[i] = (row[i] + left) & 255
            elif how == 2:
                row[i] = (row[i] + before[i]) & 255
            elif how == 3:
                row[i] = (row[i] + (left + before[i]) // 2) & 255
            elif how == 4:
                guess = left + before[i] - corner
                near = min((abs(guess - left), 0, left), (abs(guess - before[i]), 1, before[i]), (abs(guess - corner), 2, corner))
                row[i] = (row[i] + near[2]) & 255
        yield [bytes(row[i : i + 3]) for i in range(0, stride, pixel)]
        before = row


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    page, ink = bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
    first, found = None, False
    for row in rows(data):
        first = first or row[0]
        found = found or ink in row
        if found:
            break
    if first != page:
        sys.exit(f"{sys.argv[1]}: the page is {first.hex()}, not {page.hex()}")
    if not found:
        sys.exit(f"{sys.argv[1]}: no pixel is {ink.hex()}")


main()
