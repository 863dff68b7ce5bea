"""Frames of the M-Bus link layer (EN 13757-2): short frames that we send, long frames that meters answer with.

short  10 C A CS 16
long   68 L L 68 C A CI data... CS 16      L counts C, A, CI and data; CS is the sum of the bytes from C on, modulo 256
"""

from __future__ import annotations

from dataclasses import dataclass

SHORT, LONG, STOP, ACK = 0x10, 0x68, 0x16, 0xE5
SND_NKE = 0x40
REQ_UD2, FRAME_COUNT_BIT = 0x5B, 0x20
RSP_UD = 0x08
# What a meter may set beside "respond user data": access demand and data flow control.
ANSWER_BITS = 0x30
LONGEST = 261
SHORTEST_LONG = 9


class BadFrame(ValueError):
    """Bytes that are no frame of a meter; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A long frame: control, address, control information and what it carries."""

    control: int
    address: int
    information: int
    data: bytes


def short_frame(control: int, address: int) -> bytes:
    """A frame without data."""
    return bytes((SHORT, control, address, (control + address) & 0xFF, STOP))


def reset(address: int) -> bytes:
    """Begin a conversation anew (SND_NKE); the meter acknowledges with one byte."""
    return short_frame(SND_NKE, address)


def request(address: int, turn: int) -> bytes:
    """Ask for the next telegram (REQ_UD2); the frame count bit changes with each."""
    return short_frame(REQ_UD2 | (0 if turn % 2 else FRAME_COUNT_BIT), address)


def long_frame(control: int, address: int, information: int, data: bytes) -> bytes:
    """A frame with data, as a meter sends it.

    Raises:
        ValueError: more data than one frame holds.
    """
    body = bytes((control, address, information)) + data
    if len(body) > 255:
        raise ValueError(f"{len(data)} bytes do not fit into one frame")
    return bytes((LONG, len(body), len(body), LONG)) + body + bytes((sum(body) & 0xFF, STOP))


def length_of(head: bytes) -> int:
    """Bytes of the whole long frame whose first four are known.

    Raises:
        BadFrame: it does not begin as one.
    """
    if len(head) < 4 or head[0] != LONG or head[3] != LONG or head[1] != head[2]:
        raise BadFrame("does not begin as an M-Bus answer")
    if head[1] < 3:
        raise BadFrame(f"a length of {head[1]}")
    return head[1] + 6


def answer_of(frame: bytes) -> Answer:
    """The content of a long frame.

    Raises:
        BadFrame: length, sum or ends are wrong, or it is no answer with user data.
    """
    if len(frame) != length_of(frame[:4]) or frame[-1] != STOP:
        raise BadFrame("is cut short or runs on")
    body = frame[4:-2]
    if sum(body) & 0xFF != frame[-2]:
        raise BadFrame("its sum is wrong")
    if body[0] & ~ANSWER_BITS != RSP_UD:
        raise BadFrame(f"control {body[0]:#04x} is no answer")
    return Answer(control=body[0], address=body[1], information=body[2], data=body[3:])
