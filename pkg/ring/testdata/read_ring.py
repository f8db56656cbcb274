"""Reads the tables of a ShardSet, as docs/ring.md says, with nothing but Python's own library.

    python3 read_ring.py check        compares what it makes of the vectors beside it with what they say
    python3 read_ring.py owner TABLE KEY    TABLE is a file, as JSON or in the binary form
"""
import json
import math
import pathlib
import struct
import sys

MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                      0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def rotl(x, n):
    return ((x << n) | (x >> (64 - n))) & MASK


def xx_round(acc, lane):
    return rotl((acc + lane * P2) & MASK, 31) * P1 & MASK


def xxhash64(data):
    """xxHash64 with the seed 0."""
    at, n = 0, len(data)
    if n >= 32:
        v = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        while at <= n - 32:
            lanes = struct.unpack_from("<4Q", data, at)
            v = [xx_round(acc, lane) for acc, lane in zip(v, lanes)]
            at += 32
        h = (rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18)) & MASK
        for acc in v:
            h = ((h ^ xx_round(0, acc)) * P1 + P4) & MASK
    else:
        h = P5
    h = (h + n) & MASK
    while at + 8 <= n:
        h = (rotl(h ^ xx_round(0, struct.unpack_from("<Q", data, at)[0]), 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= n:
        h = (rotl(h ^ struct.unpack_from("<I", data, at)[0] * P1 & MASK, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        h = rotl(h ^ byte * P5 & MASK, 11) * P1 & MASK
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32


def partition_of(key, partitions):
    return xxhash64(key.encode()) & (partitions - 1)


def read(data):
    """A table of either form, as the dict that its JSON is."""
    if data[:1] == b"{":
        table = json.loads(data)
        if table.get("version") != 1:
            raise ValueError("the table is of version %s and this reads 1" % table.get("version"))
        return table
    return read_binary(data)


def read_binary(data):
    if data[:4] != b"TRNG" or data[4] != 1:
        raise ValueError("this is no table of version 1")
    if struct.unpack("<Q", data[-8:])[0] != xxhash64(data[:-8]):
        raise ValueError("the checksum does not match")
    at = 5

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def name():
        nonlocal at
        n = number()
        at += n
        return data[at - n:at].decode()

    table = {"version": 1, "epoch": number(), "partitions": 1 << number()}
    table["members"] = [{"id": name(), "weight": number(), "zone": name()} for _ in range(number())]
    width = len(table["members"]).bit_length()
    size = (table["partitions"] * width + 7) // 8
    packed = int.from_bytes(data[at:at + size], "little")
    at += size
    table["owners"] = [(packed >> p * width & (1 << width) - 1) - 1 for p in range(table["partitions"])]
    table["moves"] = [{"partition": number(), "from": name(), "to": name()} for _ in range(number())]
    return table


def serving(table, partition):
    """The ID of who serves a partition now; None while that is nobody."""
    if any(m["partition"] == partition for m in table.get("moves", [])):
        return None
    owner = table["owners"][partition]
    return None if owner < 0 else table["members"][owner]["id"]


def affinity(member, partition):
    x = (xxhash64(member.encode()) + (partition + 1) * 0x9E3779B97F4A7C15) & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def cost(member, partition):
    """Weighted rendezvous: the least comes first."""
    u = ((affinity(member["id"], partition) >> 11) + 0.5) / (1 << 53)
    return -math.log(u) / max(member.get("weight", 0), 1)


def full(table):
    """A table with what is left out where it is nothing."""
    members = [{"id": m["id"], "weight": m.get("weight", 0), "zone": m.get("zone", "")} for m in table["members"]]
    return {**table, "members": members, "moves": table.get("moves", [])}


def check(folder):
    keys = json.loads((folder / "keys.json").read_text())
    for v in keys:
        assert "%016x" % xxhash64(v["key"].encode()) == v["hash"], v
        for partitions, want in v["partitions"].items():
            assert partition_of(v["key"], int(partitions)) == want, v
    tables = json.loads((folder / "tables.json").read_text())
    for v in tables:
        got = read_binary(bytes.fromhex(v["binary"]))
        assert got == full(v["table"]), (v["name"], got)
        for key, want in v["serving"].items():
            assert serving(got, partition_of(key, got["partitions"])) == (want or None), (v["name"], key)
    choices = json.loads((folder / "affinity.json").read_text())
    for v in choices:
        assert "%016x" % affinity(v["member"], v["partition"]) == v["affinity"], v
        order = sorted(v["weights"], key=lambda m: cost({"id": m, "weight": v["weights"][m]}, v["partition"]))
        assert order == v["order"], (v, order)
    print("%d keys, %d tables, %d affinities" % (len(keys), len(tables), len(choices)))


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        check(pathlib.Path(__file__).parent)
    elif sys.argv[1:2] == ["owner"] and len(sys.argv) == 4:
        found = read(pathlib.Path(sys.argv[2]).read_bytes())
        print(serving(found, partition_of(sys.argv[3], found["partitions"])))
    else:
        sys.exit(__doc__)
