"""Shares names: on the station each distinct one costs 7 to 14 bytes of RAM for ever, wherever it is used.

A name belongs to a *namespace*: the globals of one module; or the attributes of all classes that inherit from each
other, with those of their instances. Names of different namespaces never meet, so `Log.level` and `Clock.parse` may
become the same, and so may a function of a module. Within one namespace each name has a short one of its own; an
attribute is called the same in all namespaces that have it. A module's globals that are attributes somewhere are
both, for modules are objects too; only `milliamp`, the joined module, is never used but as `milliamp.name` (see
`join`). What is assigned to anything but the `self` of a method (`tx.seq = ..`) may be anybody's attribute: such a
name is shared with none. Arguments that nobody gives by keyword become `append`, `args`, ... where nothing else is called so.

Short names cost nothing when the interpreter has them in ROM anyway: those of the format of .mpy files (`append`,
`KeyError`), then those of a few modules. `_0`, `_1`, ... follow when they are used up.

A name stays as it is wherever sharing it could show:

- it is a whole text or a keyword somewhere (`getattr`, `hasattr`, `f(name=..)`), or part of an import;
- MicroPython has it (`micropython_names.txt`, builtins): some object of another kind may have that attribute;
- as an attribute: it is not defined in a class or as a global here; or code asks by AttributeError whether it is there;
- it is an exception's class: logs show those.

Only the .mpy tree is shortened, the sources for freezing are not: there, names are in ROM. `names.json` says what is
what when a traceback names `KeyError`; `python -m tools.builder.names` puts it into a traceback.
"""

import ast
import re
from collections import Counter

from tools import BuildError
from tools.builder.toolkit import (
    BLOCKS,
    BOARD,
    CORE,
    FUNCTIONS,
    ROUTES,
    TABLES,
    Transformer,
    bound,
    children,
    foreign,
    is_error,
    is_special,
    walk,
)

_CORE_NAME = CORE.split("/")[0]
_READINGS = 5  # functions of one name in a traceback, more or less
_OURS = re.compile(r"_\d+")

# From py/makeqstrdata.py: part of the .mpy format, version 6. Names that only builtins have: no object is asked for
# them as an attribute, neither by name nor by the interpreter.
_BUILTINS = (
    "ArithmeticError AssertionError AttributeError BaseException EOFError Ellipsis Exception GeneratorExit "
    "ImportError IndentationError IndexError KeyError KeyboardInterrupt LookupError MemoryError NameError NoneType "
    "NotImplementedError OSError OverflowError RuntimeError StopIteration SyntaxError SystemExit TypeError ValueError "
    "ZeroDivisionError abs all any bool builtins bytearray bytecode bytes callable chr classmethod dict dir divmod "
    "eval exec getattr globals hasattr hash id int isinstance issubclass iter len list little locals map next object "
    "open ord pow print range repr round set setattr sorted staticmethod sum tuple type zip"
).split()
# Those that attributes of builtin objects have. As globals they are free too.
_METHODS = (
    "append args clear close copy count end endswith extend find format from_bytes get index insert isalpha isdigit "
    "islower isspace isupper items join key keys lower lstrip main pop popitem read readinto readline remove replace "
    "reverse rfind rindex rsplit rstrip self send sep setdefault sort split start startswith step stop str strip "
    "throw to_bytes update upper value values write"
).split()
# Constants and functions of the modules errno, math, uctypes, socket, select, collections, heapq, binascii, random,
# re, io, time, sys, gc, framebuf, os and their like that nothing looks for in an object, short ones first. Most ports have
# them in ROM; on others they cost what any name costs.
_MODULES = (
    "e pi inf nan tau cos sin GS8 INT PTR aes md5 tls hex oct bin off ps1 ps2 cls env exc UINT VOID LONG AUTO GZIP ZLIB mem8 "
    "blit rect poly argv cmath heapq hline vline pixel SHORT MVLSB mem16 mem32 mkdir rmdir chdir umount rename unlink getcwd "
    "getenv putenv RingIO atexit doc dest src dump idle polar ptr ptr8 ptr16 ptr32 uint union viper native imag real ascii "
    "ipoll match slice stdin mtime rb wb r auth mem RAW RGB565 GS2_HMSB GS4_HMSB ellipse scroll abs_tol rel_tol isclose "
    "center closure function fromhex fromkeys issubset iterator keepends makefile modify module popleft recvfrom sendall sendto "
    "EACCES EADDRINUSE EAGAIN EALREADY EBADF ECONNABORTED ECONNREFUSED ECONNRESET EEXIST "
    "EHOSTUNREACH EINPROGRESS EINVAL EIO EISDIR ENOBUFS ENODEV ENOENT ENOMEM ENOTCONN EOPNOTSUPP EPERM ETIMEDOUT "
    "errorcode acos acosh asin asinh atan atan2 atanh ceil copysign cosh degrees erf erfc exp expm1 fabs floor fmod "
    "frexp gamma isfinite isinf isnan ldexp lgamma log10 log2 modf radians sinh sqrt tan tanh trunc ARRAY BFINT16 "
    "BFINT32 BFINT8 BFUINT16 BFUINT32 BFUINT8 BF_LEN BF_POS BIG_ENDIAN FLOAT32 FLOAT64 INT16 INT32 INT64 INT8 "
    "LITTLE_ENDIAN LONGLONG NATIVE UINT16 UINT32 UINT64 UINT8 ULONG ULONGLONG USHORT AF_INET "
    "AF_INET6 SOCK_DGRAM SOCK_STREAM SOCK_RAW SOL_SOCKET SO_REUSEADDR POLLIN POLLOUT POLLERR POLLHUP OrderedDict "
    "namedtuple deque heapify heappop heappush hexlify unhexlify a2b_base64 b2a_base64 crc32 getrandbits randint "
    "randrange choice uniform seed StringIO BytesIO TextIOWrapper IOBase localtime gmtime mktime "
    "time_ns ticks_cpu ticks_us ticks_add sleep_us byteorder maxsize implementation version_info print_exception "
    "mem_alloc mem_free mem_info qstr_info stack_use heap_lock heap_unlock threshold isenabled opt_level calcsize "
    "pack_into unpack_from addressof bytearray_at bytes_at sizeof schedule getaddrinfo inet_ntop inet_pton"
).split()
_MODULES.sort(key=len)


def mangle(trees: dict, station) -> dict:
    """{path: tree} with short names, for {path: tree} of an image. The routes name functions of blocks: they follow."""
    names = Mangler(trees)
    station.legend = names.legend
    if station.routes is None:
        return trees
    old, new = {}, {}
    exec(station.routes(station.places, trees), old)
    for block, place in station.places.items():
        for function, (home, name) in place.items():
            short = names.module(f"{BLOCKS}{home}.py") if home else names.core
            place[function] = (home, short.get(name, name))
        path = f"{BLOCKS}{block}.py"
        for function, name in (names.module(path) if path in trees else {}).items():
            place.setdefault(function, (block, name))
    exec(station.routes(station.places, trees), new)
    texts = {old[name]: new[name] for name in ("CALLS", "TRIGGERS", "LIVE")}
    for path in {TABLES, ROUTES} & trees.keys():
        for node in walk(trees[path]):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                node.value = texts.get(node.value, node.value)
    return trees


class Mangler:
    """All modules of an image with short names.

    `trees`: {path: tree}. `legend`: {path: {short: names}}, functions with `()`. `globals`: {path: {name: short}}. `attributes`:
    {name: short}. `namespaces`: for each set of related classes the names that their objects have.
    """

    def __init__(self, trees: dict):
        self.trees = trees
        self._shown = set().union(*map(_shown, trees.values())) | set(foreign())
        self._texts = set().union(*map(_texts, trees.values()))
        self._shown |= {part for path in trees for part in path.removesuffix(".py").split("/")}
        self._functions = {
            path: {node.name for node in tree.body if isinstance(node, FUNCTIONS)}
            for path, tree in trees.items()
        }
        self._constants = {path: _constants(tree) for path, tree in trees.items()}
        self._defined = {path: _defined(tree) for path, tree in trees.items()}
        self._often = {path: _mentions(tree) for path, tree in trees.items()}
        for path, tree in trees.items():
            _check_core_import(path, tree)
        self._asked = set()  # attributes of anything but the joined module
        for tree in trees.values():
            self._asked |= _asked(tree)
        identifiers = set().union(*map(_identifiers, trees.values()))
        numbered = (f"_{number}" for number in range(len(identifiers) + 1000))
        self._numbered = [name for name in numbered if name not in identifiers]
        self.globals = {path: self._global_names(path) for path in trees}
        classes = _Classes(trees)
        self.namespaces = classes.namespaces()
        self.attributes = self._colour(classes)
        needed = _keywords(trees)
        for path, tree in trees.items():
            _Names(self, path, needed).visit(tree)
        self.legend = {path: self._legend(path, classes) for path in trees}

    def module(self, path: str) -> dict:
        """{global of a module: short}"""
        asked = self._defined[path] & self._asked & self.attributes.keys()
        return self.globals[path] | {name: self.attributes[name] for name in asked}

    @property
    def core(self) -> dict:
        """{global of the joined module: short}"""
        return self.module(CORE) if CORE in self.globals else {}

    def _global_names(self, path: str) -> dict:
        own = self._defined[path] - self._constants[path] - self._shown - self._asked
        own -= {node.name for node in self.trees[path].body if is_error(node)}
        own = {name for name in own if not is_special(name)}
        used = _named(self.trees[path]) | self._asked | self._texts
        free = [name for name in (*_METHODS, *_BUILTINS, *_MODULES) if name not in used]
        often = self._often[path]
        return dict(zip(sorted(own, key=lambda name: (-often[name], name)), free + self._numbered))

    def _colour(self, classes) -> dict:
        """{attribute: short}, different for any two that one object may have."""
        kept = self._shown | classes.probed
        kept = kept.union(*self._constants.values())
        for tree in self.trees.values():
            kept |= {node.name for node in tree.body if is_error(node)}
        namespaces = list(self.namespaces)
        # Modules are objects too: they may be asked for any global of theirs that is also an attribute.
        namespaces += [names & self._asked for names in self._defined.values()]
        names = set().union(*namespaces) - kept
        names = {name for name in names if not is_special(name)}
        # The body of a class sees the globals of its module and what it has itself.
        taken = []
        for number, loads in enumerate(classes.bodies()):
            taken.append({self.globals[path].get(name, name) for path, name in loads})
            namespaces[number] = namespaces[number] | {
                name for path, name in loads if name in self._defined[path] & self._asked
            }
        places = {name: [] for name in names}
        for number, namespace in enumerate(namespaces):
            for name in (namespace | classes.wild) & names:
                places[name].append(number)  # of a wild name any object may be the owner
        for path in self._defined:
            taken.append(_named(self.trees[path]) | set(self.globals[path].values()))
        for number, namespace in enumerate(namespaces):
            taken[number] |= namespace - names
        unused = self._asked.union(self._texts, *self.namespaces)
        shorts = [name for name in (*_BUILTINS, *_MODULES) if name not in unused]
        shorts += self._numbered
        found = {}
        # Of several names that would do one that is there anyway, and of those the one that is named most: bytecode names the
        # most frequent in a byte less. But functions share theirs with few: tracebacks name them.
        functions = Counter(
            self.globals[path].get(name, name)
            for path, names in self._functions.items()
            for name in names
        )
        used = Counter({name: 0 for name in _BUILTINS})
        for path, given in self.globals.items():
            used.update({short: self._often[path][name] for name, short in given.items()})
        often = sum(self._often.values(), Counter())
        order = sorted(names, key=lambda name: (name not in classes.wild, -often[name], name))
        for name in order:
            numbers = places[name]
            used_here = set().union(*(taken[n] for n in numbers))
            free = [short for short in shorts if short not in used_here]
            if name in classes.functions:
                more = classes.functions[name]
                few = [short for short in free if functions[short] + more <= _READINGS]
                free = few or free
            short = max(
                [short for short in free if short in used] or free[:1], key=used.__getitem__
            )
            functions[short] += classes.functions.get(name, 0)
            found[name] = short
            used[short] += often[name]
            for number in numbers:
                taken[number].add(short)
        return found

    def _legend(self, path: str, classes) -> dict:
        found = {}
        for name, short in self.module(path).items():
            call = "()" if name in self._functions[path] else ""
            found.setdefault(short, []).append(_plain(path, name) + call)
        for owner, name, call in classes.members(path):
            if name in self.attributes:
                text = f"{_plain(path, owner)}.{name}{call}"
                found.setdefault(self.attributes[name], []).append(text)
        return {short: ", ".join(sorted(set(names))) for short, names in sorted(found.items())}


def _mentions(tree) -> Counter:
    """How often a module names what."""
    return Counter(
        getattr(node, "attr", getattr(node, "id", ""))
        for node in walk(tree)
        if isinstance(node, (ast.Name, ast.Attribute))
    )


def _plain(path: str, name: str) -> str:
    """`charging.step` for a joined module's `_charging__step`."""
    if path in (CORE, BOARD) and name.startswith("_") and "__" in name:
        module, _, name = name[1:].partition("__")
        return f"{module}.{name}"
    return name


def _constants(tree) -> set:
    """Those of a module that mpy-cross puts in place."""
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "const"
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("_")
    }


def _defined(tree) -> set:
    """The globals of a module, what its imports bind left out."""
    names = bound(tree.body)
    for node in walk(tree):
        if isinstance(node, ast.Global):
            names |= set(node.names)
    return names


def _texts(tree) -> set:
    return {
        node.value
        for node in walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _named(tree) -> set:
    """All names that a module has, of whatever scope."""
    found = set()
    for node in walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found |= {node.asname or "", *node.name.split(".")}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def _shown(tree) -> set:
    """Names that show: whole texts, keywords, what imports name and bind."""
    names = _keywords({"": tree}) | _texts(tree)
    for node in walk(tree):
        if isinstance(node, ast.alias):
            names |= {node.name, *node.name.split("."), node.asname or ""}
        elif isinstance(node, ast.ImportFrom):
            names |= set((node.module or "").split("."))
    return names


def _keywords(trees: dict) -> set:
    return {
        node.arg
        for tree in trees.values()
        for node in walk(tree)
        if isinstance(node, ast.keyword) and node.arg
    }


def _check_core_import(path: str, tree) -> None:
    """The joined module is only ever asked for its globals."""
    plain = set()
    for node in walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if isinstance(node.ctx, ast.Load):
                plain.add(id(node.value))
    for node in walk(tree):
        if isinstance(node, ast.Name) and node.id == _CORE_NAME and id(node) not in plain:
            raise BuildError(f"{path}:{node.lineno}: {_CORE_NAME!r} is used as a value")
        if isinstance(node, (ast.arg, ast.alias)) and _CORE_NAME in (
            getattr(node, "arg", ""),
            getattr(node, "asname", ""),
        ):
            raise BuildError(f"{path}:{node.lineno}: something else is called {_CORE_NAME!r}")


def is_core(node) -> bool:
    """`milliamp.name`"""
    return isinstance(node.value, ast.Name) and node.value.id == _CORE_NAME


def _asked(tree) -> set:
    return {
        node.attr for node in walk(tree) if isinstance(node, ast.Attribute) and not is_core(node)
    }


def _identifiers(tree) -> set:
    """The names of ours that a source has already."""
    found = set()
    for node in walk(tree):
        for name in (
            getattr(node, "id", None),
            getattr(node, "attr", None),
            getattr(node, "arg", None),
            getattr(node, "name", None),
            *getattr(node, "names", ()),
        ):
            if isinstance(name, str) and _OURS.fullmatch(name):
                found.add(name)
    return found


class _Classes:
    """The classes of an image: who inherits from whom, and which attributes their objects may have.

    `wild`: attributes that somebody assigns without saying whose. `probed`: those whose absence is caught.
    """

    def __init__(self, trees: dict):
        self._trees = trees
        self._imports: dict = {}
        self._modules = {
            path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
            for path in trees
        }
        self._found = []  # (path, node)
        self._group = {}  # id of the first class of the group, by (path, name)
        self.wild, self.probed = set(), set()
        self.functions = {}  # name: how many classes have a method of that name
        self._own = {}  # (path, name): attributes
        self._methods = {}  # (path, name): those that are methods
        self._loads = {}  # (path, name): globals that the bodies load
        for path, tree in trees.items():
            for node in walk(tree):
                if isinstance(node, ast.ClassDef):
                    self._found.append((path, node))
                    self._group[path, node.name] = (path, node.name)
        stores = set()  # ids of the assignments to a `self`
        for path, node in self._found:
            self._read(path, node, stores)
        for path, tree in trees.items():
            self._read_module(path, tree, stores)
            self._read_values(path, tree)
        for path, node in self._found:
            for base in node.bases:
                for target in self._resolve(path, base):
                    self._join((path, node.name), target)

    def namespaces(self) -> list:
        """The names of each set of related classes."""
        found = {}
        for key, names in self._own.items():
            found.setdefault(self._group[key], set()).update(names)
        return [found[key] for key in sorted(found)]

    def bodies(self) -> list:
        """For each of the namespaces: (path, global) that the bodies of its classes may use."""
        found = {self._group[key]: set() for key in self._own}
        for (path, name), names in self._loads.items():
            found[self._group[path, name]] |= {(path, item) for item in names}
        return [found[key] for key in sorted(found)]

    def members(self, path: str):
        """(class, attribute, "()" for a method) of the classes of a module."""
        for (place, owner), names in self._own.items():
            if place == path:
                for name in names:
                    yield owner, name, "()" if name in self._methods[place, owner] else ""

    def _join(self, one, other) -> None:
        old, new = self._group[one], self._group[other]
        for key, group in self._group.items():
            if group == old:
                self._group[key] = new

    def _resolve(self, path: str, base) -> list:
        """The classes of the image that a base may be: all that are called so in the module it comes from."""
        if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
            if is_core(base):
                return self._called(CORE, base.attr)
            place = self._imported(path, base.value.id)
            return [found for item in place for found in self._called(item[0], base.attr)]
        if isinstance(base, ast.Name):
            found = self._called(path, base.id)
            for place, name in self._imported(path, base.id):
                found += self._called(place, name or base.id)
            return found
        if isinstance(base, ast.Attribute):  # package.module.Class
            return [key for key in self._group if key[1] == base.attr]
        raise BuildError(f"{path}:{base.lineno}: cannot tell what this class inherits from")

    def _called(self, path: str, name: str) -> list:
        return [(path, name)] if (path, name) in self._group else []

    def _imported(self, path: str, name: str) -> list:
        """(module path, name there or None) that an import of a module binds a name to."""
        if path not in self._imports:
            self._imports[path] = self._read_imports(path)
        return self._imports[path].get(name, [])

    def _read_imports(self, path: str) -> dict:
        """{name: what `_imported` says of it} of a module."""
        found: dict = {}
        for node in walk(self._trees[path]):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inner = self._modules.get(f"{node.module}.{alias.name}")
                    outer = self._modules.get(node.module)
                    if inner or outer:
                        place = (inner, None) if inner else (outer, alias.name)
                        found.setdefault(alias.asname or alias.name, []).append(place)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name in self._modules:
                        place = (self._modules[alias.name], None)
                        found.setdefault(alias.asname or alias.name, []).append(place)
        return found

    def _read(self, path: str, node, stores: set) -> None:
        """What a class gives its objects."""
        own = self._own.setdefault((path, node.name), set())
        own |= bound(node.body)
        self._methods.setdefault((path, node.name), set())
        loads = self._loads.setdefault((path, node.name), set())
        for item in node.body:
            loads |= _loaded(item)
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._methods[path, node.name].add(item.name)
                self.functions[item.name] = self.functions.get(item.name, 0) + 1
                own |= self._self_stores(item, stores)

    @staticmethod
    def _self_stores(function, stores: set) -> set:
        """The attributes that a method assigns to its `self`."""
        listed = [*function.args.posonlyargs, *function.args.args]
        decorated = any(
            getattr(item, "id", getattr(item, "attr", "")) not in ("property", "setter")
            for item in function.decorator_list
        )
        if not listed or decorated:
            return set()
        me = listed[0].arg
        for inner in walk(function):
            if (
                isinstance(inner, ast.Name)
                and inner.id == me
                and not isinstance(inner.ctx, ast.Load)
            ):
                return set()
            if isinstance(inner, ast.arg) and inner.arg == me and inner is not listed[0]:
                return set()
            if isinstance(inner, ast.ClassDef):
                return set()
        found = set()
        for inner in walk(function):
            if isinstance(inner, ast.Attribute) and not isinstance(inner.ctx, ast.Load):
                if isinstance(inner.value, ast.Name) and inner.value.id == me:
                    found.add(inner.attr)
                    stores.add(id(inner))
        return found

    def _read_module(self, path: str, tree, stores: set) -> None:
        classes = {name for place, name in self._group if place == path}
        for node in walk(tree):
            if isinstance(node, ast.Attribute):
                if not isinstance(node.ctx, ast.Load) and id(node) not in stores:
                    self.wild.add(node.attr)
                # A method without its object may be called with any: then its `self` may be anything.
                owner = node.value
                if isinstance(owner, ast.Name) and owner.id in classes:
                    self._loosen(path, owner.id, node.attr)
                elif isinstance(owner, ast.Attribute):
                    for place, name in list(self._group):
                        if name == owner.attr:
                            self._loosen(place, name, node.attr)
                elif isinstance(owner, ast.Name):
                    for place, name in self._imported(path, owner.id):
                        if name and (place, name) in self._group:
                            self._loosen(place, name, node.attr)
                elif isinstance(owner, ast.Call) and getattr(owner.func, "id", "") == "type":
                    self.wild.add(node.attr)
                    if not is_special(node.attr):
                        raise BuildError(f"{path}:{node.lineno}: a method of type(..)")
                if node.attr in ("__dict__", "__class__"):
                    raise BuildError(f"{path}:{node.lineno}: {node.attr} cannot be followed")
            elif isinstance(node, ast.Try):
                caught = {
                    getattr(name, "id", "")
                    for handler in node.handlers
                    for name in walk(handler.type or ast.Name("AttributeError"))
                }
                if "AttributeError" in caught:
                    for item in node.body:
                        self.probed |= {
                            inner.attr for inner in walk(item) if isinstance(inner, ast.Attribute)
                        }

    def _read_values(self, path: str, tree) -> None:
        """A class that is more than called, inherited from or asked for something may be called anything: then the
        `self` of its methods may be any object."""
        plain = set()
        for node in walk(tree):
            if isinstance(node, ast.Call):
                plain.add(id(node.func))
                if getattr(node.func, "id", "") in ("isinstance", "issubclass"):
                    plain |= {id(inner) for inner in walk(node)}
            elif isinstance(node, ast.ClassDef):
                plain |= {id(base) for base in node.bases}
            elif isinstance(node, ast.Attribute):
                plain.add(id(node.value))
            elif isinstance(node, ast.ExceptHandler) and node.type:
                plain |= {id(inner) for inner in walk(node.type)}
        for node in walk(tree):
            name = getattr(node, "attr", getattr(node, "id", None))
            if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in plain:
                if isinstance(node.ctx, ast.Load):
                    for place, owner in self._group:
                        if owner == name:
                            self._loosen(place, owner, None)

    def _loosen(self, path: str, name: str, attribute: "str | None") -> None:
        """A method, or all, may be called with any object."""
        for place, node in self._found:
            if (place, node.name) != (path, name):
                continue
            for item in node.body:
                if isinstance(item, FUNCTIONS) and attribute in (None, item.name):
                    self.wild |= self._self_stores(item, set())


def _loaded(node) -> set:
    """The names that a statement of a class's body loads when it runs; the bodies of its functions run later."""
    found = set()

    def look(item):
        if isinstance(item, (*FUNCTIONS, ast.Lambda)):
            inner = [*item.args.defaults, *(value for value in item.args.kw_defaults if value)]
            for value in [*inner, *getattr(item, "decorator_list", ())]:
                look(value)
            return
        if isinstance(item, ast.Name):
            found.add(item.id)
        for inner in children(item):
            look(inner)

    look(node)
    return found


class _Names(Transformer):
    """Puts the short names into a module's tree; annotations go, which MicroPython drops anyway."""

    def __init__(self, short: Mangler, path: str, needed: set):
        self._path = path
        self._defined = short._defined[path]
        self._globals = short.module(path)
        self._attributes = short.attributes
        self._core = short.core
        self._needed = needed
        self._scopes = []  # around: (is it a class, {name: short})

    def _short(self, name: str) -> str:
        innermost = True
        for is_class, names in reversed(self._scopes):
            if name in names and (innermost or not is_class):
                return names[name]
            innermost = False
        return self._globals.get(name, name)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and self._scopes and self._scopes[-1][0]:
            if node.id in self._scopes[-1][1] and node.id in self._defined:
                raise BuildError(
                    f"{self._path}:{node.lineno}: {node.id!r} is both: a class's and a global"
                )
        node.id = self._short(node.id)
        return node

    def visit_Attribute(self, node):
        if is_core(node):
            node.attr = self._core.get(node.attr, node.attr)
            return node
        self.generic_visit(node)
        node.attr = self._attributes.get(node.attr, node.attr)
        return node

    def visit_ClassDef(self, node):
        node.bases = [self.visit(item) for item in node.bases]
        node.keywords = [self.visit(item) for item in node.keywords]
        node.decorator_list = [self.visit(item) for item in node.decorator_list]
        node.name = self._short(node.name)
        own = {name: self._attributes.get(name, name) for name in bound(node.body)}
        self._scopes.append((True, own))
        node.body = [self.visit(item) for item in node.body]
        self._scopes.pop()
        return node

    def visit_Nonlocal(self, node):
        node.names = [self._short(name) for name in node.names]
        return node

    def visit_Global(self, node):
        node.names = [self._globals.get(name, name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node):
        node.name = node.name and self._short(node.name)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        node.annotation = ast.Constant(0)
        self.generic_visit(node)
        return (
            ast.Assign([node.target], node.value, lineno=node.lineno) if node.value else ast.Pass()
        )

    def _comprehension(self, node):
        names = {
            item.id: item.id
            for part in node.generators
            for item in walk(part.target)
            if isinstance(item, ast.Name)
        }
        self._scopes.append((False, names))
        self.generic_visit(node)
        self._scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _function(self, node):
        arguments = node.args
        is_lambda = isinstance(node, ast.Lambda)
        # Decorators and defaults belong to the scope around.
        if not is_lambda:
            node.decorator_list = [self.visit(item) for item in node.decorator_list]
        arguments.defaults = [self.visit(item) for item in arguments.defaults]
        arguments.kw_defaults = [item and self.visit(item) for item in arguments.kw_defaults]
        if not is_lambda:
            node.name = self._short(node.name)
            node.returns = None
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        listed += [item for item in (arguments.vararg, arguments.kwarg) if item]
        for item in listed:
            item.annotation = None
        # A class inside would make attributes of the names that it sees.
        plain = not any(isinstance(inner, ast.ClassDef) for inner in walk(node))
        taken = {short for _, names in self._scopes for short in names.values()}
        others = _named(node) - {item.arg for item in listed}
        taken |= others.union(map(self._short, others))
        free = (short for short in _METHODS if short not in taken)
        scope = {} if is_lambda else {name: name for name in bound(node.body)}
        scope.update({item.arg: item.arg for item in listed})
        for item in listed:
            if plain and item.arg not in self._needed and item not in arguments.kwonlyargs:
                scope[item.arg] = next(free, item.arg)
        for item in listed:
            item.arg = scope[item.arg]
        self._scopes.append((False, scope))
        body = node.body if isinstance(node.body, list) else [node.body]
        body = [self.visit(item) for item in body]
        node.body = body if isinstance(node.body, list) else body[0]
        self._scopes.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function
