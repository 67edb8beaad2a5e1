#!/usr/bin/env python3
"""Reads an archive of kernels: written from docs/archive-format.md alone, to see that the page says enough.

    read_archive.py ARCHIVE                      the IDs of the kernels, and what else is known of them
    read_archive.py ARCHIVE ID KIND NAME         the definitions of that kind (a number) and name in that kernel's vmlinux
    read_archive.py ARCHIVE ID MODULE KIND NAME  the same of a module

Decompresses with the zstd tool.
"""

import struct
import subprocess
import sys

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def unzstd(data, size):
    out = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
    if len(out) != size:
        sys.exit(f"a part has {len(out)} bytes, want {size}")
    return out


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        if self.at > len(self.data):
            sys.exit("read behind the end")
        return self.data[self.at - n : self.at]

    def num(self):
        n = shift = 0
        while True:
            b = self.take(1)[0]
            n |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return n

    def zig(self):
        n = self.num()
        return n >> 1 if n & 1 == 0 else -(n >> 1) - 1

    def str(self):
        end = self.data.index(0, self.at)
        s = self.data[self.at : end]
        self.at = end + 1
        return s.decode()

    def set(self):
        found, at = set(), 0
        for i in range(self.num()):
            start = at + self.num() + (1 if i else 0)
            at = start + self.num() + 1
            found.update(range(start, at))
        return found


def essential(name):
    for i in range(len(name) - 5, -1, -1):
        if name[i] != "_" and name[i + 1 : i + 4] == "___" and name[i + 4] != "_":
            return name[: i + 1]
    return name


class Archive:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        magic, version, flags, size, stored, raw, dirsum = struct.unpack_from("<8sIIQIII", self.data)
        (headsum,) = struct.unpack_from("<I", self.data, 44)
        if magic != b"CCARCH\x1a\n" or version != 1 or flags or size != len(self.data) or crc32c(self.data[:44]) != headsum:
            sys.exit("no archive of version 1, or a damaged one")
        packed = self.data[48 : 48 + stored]
        if crc32c(packed) != dirsum:
            sys.exit("the directory is damaged")
        d, at = Bytes(unzstd(packed, raw)), 48 + stored
        self.parts = {}
        for _ in range(d.num()):
            tag, required, parts = d.take(4).decode(), d.num() & 1, []
            if required and tag not in ("KERN", "HOME", "INDX", "SETS", "DEFS", "PRES"):
                sys.exit(f"section {tag} is not known")
            for _ in range(d.num()):
                part = at, d.num(), d.num(), struct.unpack("<I", d.take(4))[0]
                parts.append(part)
                at += part[1]
            self.parts[tag] = parts
        if at != len(self.data):
            sys.exit("the parts don't end with the file")
        self.read_kernels()
        self.read_homes()
        b = self.part("INDX", 0)
        self.index = [[b.str() for _ in range(b.num())] for _ in range(3)]

    def part(self, tag, i):
        at, stored, raw, checksum = self.parts[tag][i]
        data = self.data[at : at + stored]
        if crc32c(data) != checksum:
            sys.exit(f"part {i} of {tag} is damaged")
        return Bytes(unzstd(data, raw))

    def read_kernels(self):
        b = self.part("KERN", 0)
        self.kernels = []
        for _ in range(b.num()):
            record, fields = Bytes(b.take(b.num())), []
            while record.at < len(record.data):
                tag = record.num()
                fields.append((tag, record.take(record.num())))
            self.kernels.append(fields)

    def read_homes(self):
        b = self.part("HOME", 0)
        self.homes = ["vmlinux"] + [(b.str(), b.set())[0] for _ in range(b.num())]
        self.tags = [(b.str(), b.set()) for _ in range(b.num())]

    def set(self, n):
        b = self.part("SETS", n // 512)
        return [b.set() for _ in range(b.num())][n % 512]

    def definitions(self, kernel, home, kind, name):
        """Yields ordinal and text of the definitions of one kind and name."""
        cls = 1 if kind == 12 else 2 if kind in (14, 15) else 0
        starts = [i for i, first in enumerate(self.index[cls]) if first <= essential(name)]
        if not starts:
            return
        number = sum(len(x) for x in self.index[:cls]) + starts[-1]
        defs, pres = self.part("DEFS", number), self.part("PRES", number)
        entries, names, strings, size, steps = (defs.num() for _ in range(5))
        names, table = Bytes(defs.take(names)), Bytes(defs.take(size))
        defs.take(steps)
        self.strings = [""] + [table.str() for _ in range(strings)]
        last = ""
        for _ in range(entries):
            shared = names.num()
            last = last.encode()[:shared].decode() + names.str()
            this, variants = names.take(1)[0], names.num()
            for _ in range(variants):
                text = self.type(defs)
                places, n = [], pres.num()
                if n & 1 == 0:
                    places = [(0, 0, n >> 1)]
                else:
                    h = o = 0
                    for _ in range(n >> 1):
                        step = pres.num()
                        h, o = h + step, pres.num() + (0 if step else o)
                        places.append((h, o, pres.num()))
                if (this, last) != (kind, name):
                    continue
                for h, o, s in places:
                    if h == home and kernel in self.set(s):
                        yield o, text

    def type(self, b):
        op = b.take(1)[0]
        kind, cls = op & 31, op >> 5
        if cls in (1, 3):
            return f"<{kind} {self.strings[b.num()]}>"
        if cls in (2, 4):
            name = self.strings[b.num()]
            b.zig()  # which of that name: not shown
            return f"<{kind} {name}>"
        flag = cls == 5
        if cls == 6:
            flag = b.num() != 0
            for _ in range(b.num()):
                b.num(), b.num(), b.num()
        if kind in (0, 7):
            return f"{kind}"
        if kind == 1:
            return f"1 {b.num()} {b.num() >> 11}"
        if kind == 16:
            return f"16 {b.num()}"
        if kind in (2, 8, 9, 10, 11):
            return f"{kind} {self.type(b)}"
        if kind == 18:
            return f"18 {self.strings[b.num()]} {self.type(b)}"
        if kind == 3:
            return f"3 {b.num()} {self.type(b)} {self.type(b)}"
        if kind in (4, 5):
            out, off = [f"{kind} {b.num()}"], 0
            for _ in range(b.num()):
                member, n = self.strings[b.num()], b.num()
                off += (n >> 1) * 8 if n & 1 == 0 else ((n >> 1) >> 1 if (n >> 1) & 1 == 0 else -((n >> 1) >> 1) - 1)
                bits = b.num() if flag else 0
                out.append(f"{member}@{off}:{bits} {self.type(b)}")
            return "{" + "; ".join(out) + "}"
        if kind in (6, 19):
            out, value = [f"{kind} {b.num()}"], 0
            for _ in range(b.num()):
                name = self.strings[b.num()]
                value = (value + b.zig()) & 0xFFFFFFFFFFFFFFFF
                out.append(f"{name}={value}")
            return "{" + "; ".join(out) + "}"
        if kind in (12, 14):
            return f"{kind} {b.num()} {self.type(b)}"
        if kind == 13:
            n = b.num()
            result = self.type(b)
            return "(" + ", ".join(f"{self.strings[b.num()]} {self.type(b)}" for _ in range(n)) + ") " + result
        if kind == 15:
            out, off = [f"15 {b.num()}"], 0
            for _ in range(b.num()):
                var = self.type(b)
                off += b.zig()
                out.append(f"{var}@{off}:{b.num()}")
            return "{" + "; ".join(out) + "}"
        sys.exit(f"kind {kind}")


def main(path, *args):
    a = Archive(path)
    ids = [fields[0][1].decode() for fields in a.kernels]
    if not args:
        for fields in a.kernels:
            print(*(f"{tag}={value.decode()!r}" for tag, value in fields))
        return
    kernel, (kind, name) = ids.index(args[0]), args[-2:]
    home = a.homes.index(args[1]) if len(args) == 4 else 0
    for _, text in sorted(a.definitions(kernel, home, int(kind), name)):
        print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
