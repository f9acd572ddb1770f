"""PURE scan of pickles: which names they would import, found from their opcodes. Nothing is ever loaded.

A pickle is a program. It is scanned here as pickletools does, but long data is passed over instead of read, and what cannot be
followed is reported, not trusted.
"""

from __future__ import annotations

import bz2
import io
import lzma
import pickletools
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from pearlstreet.hub.preview.formats import PICKLE_ENDINGS

OPCODES_MAX = 1_000_000
STREAMS_MAX = 50
STACK_MAX = 500_000
LINE_BYTES_MAX = 64 << 10
SHORT_BYTES = 1000
"""Longest name that is read; longer data is passed over."""
UNPACKED_BYTES_MAX = 64 << 20
MEMBERS_MAX = 5000
IMPORTS_MAX = 500
UNKNOWN = "?"
"""Name of an import that is put together at run time."""
_STRINGS = frozenset(
    {
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "UNICODE",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
    }
)
_LENGTHS = {-2: 1, -3: 4, -4: 4, -5: 8}
"""Bytes of the length before an argument, by the library's code for it."""
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_MARK = object()
_TENSOR = re.compile(r"/data/\d+$")
"""Members of PyTorch's archives that are bytes of tensors; only `data.pkl` beside them is loaded as a pickle."""
_EXPECTED = frozenset(
    f"{module}.{name}"
    for modules, names in (
        ("collections", "OrderedDict defaultdict Counter deque"),
        (
            "torch",
            "Size device dtype FloatStorage HalfStorage BFloat16Storage DoubleStorage LongStorage IntStorage",
        ),
        (
            "torch",
            "ShortStorage CharStorage ByteStorage BoolStorage float16 float32 float64 bfloat16 int8 int16 int32",
        ),
        ("torch", "int64 uint8 bool"),
        (
            "torch._utils",
            "_rebuild_tensor _rebuild_tensor_v2 _rebuild_parameter _rebuild_qtensor _rebuild_sparse_tensor",
        ),
        ("torch.storage", "UntypedStorage TypedStorage"),
        ("torch.serialization", "_get_layout"),
        ("numpy", "dtype ndarray"),
        ("numpy.core.multiarray numpy._core.multiarray", "_reconstruct scalar"),
        ("numpy.core.numeric numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
        (
            "builtins __builtin__",
            "set frozenset slice complex bytearray range object list dict tuple int float str bool",
        ),
        ("copyreg copy_reg", "_reconstructor"),
        ("datetime", "datetime date time timedelta timezone"),
        ("decimal", "Decimal"),
        ("uuid", "UUID"),
    )
    for module in modules.split()
    for name in names.split()
)
"""Imports of tensors and plain values, which run nothing else."""
_DANGEROUS = frozenset(
    (
        "__builtin__ builtins os posix nt subprocess sys socket shutil runpy importlib imp ctypes _ctypes pty commands"
        " webbrowser operator functools types code codeop pip pickle _pickle dill cloudpickle marshal pdb bdb timeit"
        " cProfile profile trace inspect asyncio multiprocessing threading signal urllib requests httpx aiohttp http"
        " ftplib smtplib tempfile pathlib io _io site sysconfig venv ensurepip distutils setuptools doctest linecache"
        f" zipimport pydoc {UNKNOWN}"
    ).split()
)
"""Modules that run programs, reach files or the network, or build such calls."""
_DANGEROUS_NAMES = frozenset(
    {
        "torch.load",
        "torch.hub.load",
        "torch.jit.load",
        "torch.storage._load_from_bytes",
        "joblib.load",
        "numpy.load",
    }
)


def rate_import(name: str) -> str:
    """Return what an import of a pickle means: `expected`, `dangerous`, or `unknown` for code of other packages."""
    if name in _EXPECTED:
        return "expected"
    is_dangerous = name.partition(".")[0] in _DANGEROUS or name in _DANGEROUS_NAMES or UNKNOWN in name
    return "dangerous" if is_dangerous else "unknown"


@dataclass
class Scan:
    """Names that pickles import, in the order of their first use, and whether all could be followed."""

    imports: dict[str, None] = field(default_factory=dict)
    pickles: int = 0
    is_complete: bool = True
    opcodes: int = 0

    def add(self, name: str) -> None:
        """Record an import."""
        if len(self.imports) < IMPORTS_MAX:
            self.imports[name[:200]] = None
        else:
            self.is_complete = False


class _NotFollowed(ValueError):
    """The bytes are no pickle, or one too large to follow."""


def scan_pickles(file: BinaryIO, size_bytes: int) -> dict[str, object] | None:
    """Return what the pickles in a file import; None if it holds none. Archives, NumPy files and compressed ones are looked into.

    `is_complete` False: parts could not be followed, and may import anything.
    """
    scan = Scan()
    _scan_any(file, size_bytes, scan, depth=0)
    if not scan.pickles and scan.is_complete:
        return None
    return {
        "kind": "pickle",
        "imports": [{"name": name, "rating": rate_import(name)} for name in scan.imports],
        "is_complete": scan.is_complete,
        "pickles": scan.pickles,
    }


def begins_pickle(head: bytes) -> bool:
    """Return whether bytes are the beginning of a pickle of protocol 2 or later."""
    return len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _scan_any(file: BinaryIO, size_bytes: int, scan: Scan, depth: int) -> None:
    head = file.read(10)
    file.seek(0)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        if depth == 0:
            _scan_zip(file, scan)
        return
    if head[:6] == b"\x93NUMPY":
        _scan_numpy(file, scan)
        return
    if depth < 2 and (unpacked := _unpack(file, head, scan)) is not None:
        _scan_any(io.BytesIO(unpacked), len(unpacked), scan, depth + 1)
        return
    _scan_streams(file, size_bytes, scan, has_protocol=begins_pickle(head))


def _unpack(file: BinaryIO, head: bytes, scan: Scan) -> bytes | None:
    """Return the beginning of a compressed file, up to a limit; None if it is not compressed."""
    unpacker: zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor
    if head[:2] == b"\x1f\x8b" or (
        head[:1] == b"\x78" and len(head) > 1 and (head[0] * 256 + head[1]) % 31 == 0
    ):
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    elif head[:3] == b"BZh":
        unpacker = bz2.BZ2Decompressor()
    elif head[:6] == b"\xfd7zXZ\x00":
        unpacker = lzma.LZMADecompressor(memlimit=UNPACKED_BYTES_MAX)
    else:
        return None
    packed = file.read(UNPACKED_BYTES_MAX // 4)
    try:
        found = unpacker.decompress(packed, UNPACKED_BYTES_MAX)
    except (zlib.error, OSError, EOFError, lzma.LZMAError):
        file.seek(0)
        return None
    if not unpacker.eof:
        scan.is_complete = False
    return found


def _scan_zip(file: BinaryIO, scan: Scan) -> None:
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        scan.is_complete = False
        return
    if len(members) > MEMBERS_MAX:
        scan.is_complete = False
    left = UNPACKED_BYTES_MAX
    for member in members[:MEMBERS_MAX]:
        if _TENSOR.search(member.filename):
            continue
        try:
            with archive.open(member) as opened:
                head = opened.read(10)
                if not (
                    begins_pickle(head)
                    or head[:6] == b"\x93NUMPY"
                    or member.filename.lower().endswith(PICKLE_ENDINGS)
                ):
                    continue
                content = head + opened.read(left)
        except (
            zipfile.BadZipFile,
            ValueError,
            NotImplementedError,
            RuntimeError,
            OSError,
            EOFError,
            zlib.error,
        ):
            scan.is_complete = False
            continue
        left -= len(content)
        if len(content) < member.file_size or left <= 0:
            scan.is_complete = False
        _scan_any(io.BytesIO(content), len(content), scan, depth=1)
        if left <= 0:
            return


def _scan_numpy(file: BinaryIO, scan: Scan) -> None:
    """Scan the pickle that an array of objects is."""
    start = file.read(8)
    count = 2 if start[6:7] == b"\x01" else 4
    length = int.from_bytes(file.read(count), "little")
    header = file.read(min(length, LINE_BYTES_MAX))
    if b"|O" in header or b"'O'" in header:
        if length > LINE_BYTES_MAX:
            scan.is_complete = False
            return
        _scan_streams(file, 1 << 62, scan, has_protocol=True)


def _scan_streams(file: BinaryIO, size_bytes: int, scan: Scan, *, has_protocol: bool) -> None:
    """Scan pickles that follow each other, as in older files of PyTorch."""
    for number in range(STREAMS_MAX):
        at = file.tell()
        head = file.read(2)
        file.seek(at)
        if not head or (number and not begins_pickle(head)):
            return
        before = dict(scan.imports)
        try:
            _scan_stream(file, scan)
        except (_NotFollowed, ValueError, IndexError, UnicodeDecodeError):
            if has_protocol:
                scan.pickles += 1
                scan.is_complete = False
            elif not number:
                # Without a protocol byte, only a whole program to its end is a pickle.
                scan.imports = before
            return
        scan.pickles += 1
    scan.is_complete = False


def _scan_stream(file: BinaryIO, scan: Scan) -> None:
    """Scan one pickle up to its end."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    while True:
        scan.opcodes += 1
        if scan.opcodes > OPCODES_MAX or len(stack) > STACK_MAX or len(memo) > STACK_MAX:
            raise _NotFollowed
        code = file.read(1)
        opcode = _OPCODES.get(code) if code else None
        if opcode is None:
            raise _NotFollowed
        argument = _argument(file, opcode)
        if opcode.name == "STOP":
            return
        if opcode.name in ("GLOBAL", "INST"):
            scan.add(str(argument).replace("\n", "."))
        elif opcode.name == "STACK_GLOBAL":
            scan.add(".".join(one if isinstance(one, str) else UNKNOWN for one in stack[-2:]) or UNKNOWN)
        elif opcode.name in ("EXT1", "EXT2", "EXT4"):
            scan.add(f"{UNKNOWN}.{opcode.name}")
        _step(opcode, argument, stack, memo)


def _argument(file: BinaryIO, opcode: pickletools.OpcodeInfo) -> object:
    """Return the argument of an opcode if it may be a name or number; longer data is passed over."""
    if opcode.arg is None:
        return None
    size = opcode.arg.n
    if size == -1:
        lines = 2 if opcode.name in ("GLOBAL", "INST") else 1
        found = [file.readline(LINE_BYTES_MAX) for _ in range(lines)]
        if any(not line.endswith(b"\n") for line in found):
            raise _NotFollowed
        said = "\n".join(line.rstrip(b"\n").decode("utf-8", "replace") for line in found)
        return said.strip("'\"") if opcode.name == "STRING" else said
    if size >= 0:
        data = file.read(size)
        if len(data) < size:
            raise _NotFollowed
        return int.from_bytes(data, "little") if opcode.name.endswith(("BINGET", "BINPUT")) else None
    width = _LENGTHS[size]
    said_length = file.read(width)
    length = int.from_bytes(said_length, "little", signed=size == -3)
    if len(said_length) < width or length < 0 or length > 1 << 60:
        raise _NotFollowed
    if length > SHORT_BYTES:
        file.seek(length, io.SEEK_CUR)
        return None
    data = file.read(length)
    if len(data) < length:
        raise _NotFollowed
    return data.decode("utf-8", "replace") if opcode.name in _STRINGS else None


def _step(
    opcode: pickletools.OpcodeInfo, argument: object, stack: list[object], memo: dict[int, object]
) -> None:
    """Do to the stack and memo of names what the opcode would do."""
    name, before, after = opcode.name, opcode.stack_before, opcode.stack_after
    if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
        at = len(memo) if name == "MEMOIZE" else int(str(argument))
        memo[at] = stack[-1] if stack else None
        return
    if name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo.get(int(str(argument))))
        return
    if name == "DUP":
        stack.append(stack[-1])
        return
    taken = len(before)
    if pickletools.markobject in before or (name == "POP" and stack and stack[-1] is _MARK):
        while stack and stack.pop() is not _MARK:
            pass
        taken = before.index(pickletools.markobject) if pickletools.markobject in before else 0
    del stack[max(0, len(stack) - taken) :]
    pushed = argument if name in _STRINGS else None
    stack.extend(_MARK if one is pickletools.markobject else pushed for one in after)
