"""A bounded reader of Bitcoin's serialisation, and the few writers that are not one `struct` call.

Every length is checked against a cap and against the bytes that are left before anything is allocated.
"""

from ioex_chain.primitives.errors import NotCanonical, OverCap, TrailingBytes, UnexpectedEnd


class Reader:
    """Reads values off the front of `data`; `offset` is the position of the next byte."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.offset

    def take(self, size: int) -> bytes:
        """Read exactly `size` bytes."""
        start = self.offset
        end = start + size
        if end > len(self.data):
            raise UnexpectedEnd(f"{size} bytes wanted at offset {start}, {len(self.data) - start} left")
        self.offset = end
        return self.data[start:end]

    def uint8(self) -> int:
        """Read one byte."""
        return self.take(1)[0]

    def uint16(self) -> int:
        """Read a little-endian uint16."""
        return int.from_bytes(self.take(2), "little")

    def uint32(self) -> int:
        """Read a little-endian uint32."""
        return int.from_bytes(self.take(4), "little")

    def uint64(self) -> int:
        """Read a little-endian uint64."""
        return int.from_bytes(self.take(8), "little")

    def compact(self, cap: int) -> int:
        """Read Bitcoin's CompactSize; one written longer than needed or above `cap` is refused."""
        first = self.uint8()
        if first < 0xFD:
            value = first
        else:
            size, least = {0xFD: (2, 0xFD), 0xFE: (4, 0x1_0000), 0xFF: (8, 0x1_0000_0000)}[first]
            value = int.from_bytes(self.take(size), "little")
            if value < least:
                raise NotCanonical(f"compact size {value} written in {size} bytes")
        if value > cap:
            raise OverCap(f"{value} is above the cap of {cap} at offset {self.offset}")
        return value

    def sized(self, cap: int) -> bytes:
        """Read a byte string that its CompactSize length precedes."""
        return self.take(self.compact(cap))

    def finish(self) -> None:
        """Raise TrailingBytes unless every byte was read."""
        if self.offset != len(self.data):
            raise TrailingBytes(f"{len(self.data) - self.offset} bytes after the end")


def compact(value: int) -> bytes:
    """Write `value` as Bitcoin's CompactSize."""
    if value < 0xFD:
        return bytes((value,))
    if value <= 0xFFFF:
        return b"\xfd" + value.to_bytes(2, "little")
    if value <= 0xFFFF_FFFF:
        return b"\xfe" + value.to_bytes(4, "little")
    return b"\xff" + value.to_bytes(8, "little")


def sized(data: bytes) -> bytes:
    """Write a byte string with its CompactSize length before it."""
    return compact(len(data)) + data
