"""Object stores, by fsspec: what a run reads is fetched before it begins, what it has written is uploaded at its end.

In between it knows local files alone, in a folder that mirrors the store, so that every rule of local paths holds for
objects too. fsspec is imported when a store is asked for: nothing else needs it.
"""

import contextlib
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from .errors import Left, PipelineError, kind
from .store_errors import NOT_THERE, changed, said
from .targets import leads_to

_BLOCK = 8 * 1024 * 1024  # bytes that are held at a time, in either direction
_PARTS = 9_000  # of one upload; S3 takes 10,000
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
# What stores call the version of an object: by these a change is seen without reading it.
_VERSIONS = ("ETag", "etag", "VersionId", "generation", "LastModified", "last_modified", "updated", "mtime", "created")
_PASSWORD = re.compile("://(?!arn:)[^/]*:.*@")  # in which there may be a /
_HIDING = ("s3://", "s3a://", "gs://", "gcs://")  # objects that are not committed
_VERSION_OF = "?versionId="  # s3fs takes what follows for a version of what is before it


class Places:
    """Where a run reads and writes: paths as they were given, all on this machine."""

    def __init__(self, given: Sequence[str], targets: Mapping[str, str | Path]) -> None:
        self.given, self.targets = given, targets

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Errors name paths as they were given."""
        yield

    def dataset(self, path: str | Path) -> tuple[str, str]:
        """The namespace and the name that a lineage graph has for a path."""
        return "file", os.path.abspath(path)  # noqa: PTH100  links are kept

    def require_unchanged(self) -> None:
        """Raises PipelineError if what was fetched has changed meanwhile."""

    def upload(self, path: Path, final: Path) -> None:
        """Send what lies at `path` and will be called `final`, so that nothing of it can be seen yet. Raises
        PipelineError."""

    def publish(self, final: Path) -> None:
        """Let what was uploaded be seen under its final name. Raises PipelineError if something else has that name."""

    def take_back(self) -> None:
        """Undo whatever was uploaded and published."""


@contextlib.contextmanager
def places(
    filesystem: str | None,
    given: Sequence[str | Path],
    targets: Mapping[str, str | Path | None],
    *,
    resume: bool = False,
) -> Iterator[Places]:
    """Where a run reads and writes. `filesystem`: what fsspec calls the store of paths like `s3://…`; None: there are
    none. `targets`: what → where to, None if nowhere. What is read is fetched to a folder that is gone after the block.

    Raises PipelineError: a path is of no store or another one, or what is read can't be fetched.
    """
    texts = [str(each) for each in given]
    wanted = {what: path for what, path in targets.items() if path is not None}
    far = [each for each in [*texts, *map(str, wanted.values())] if "://" in each]
    if any(_PASSWORD.search(each) for each in far):
        raise PipelineError("A path has a password in it: give it as the settings of the store say.")
    if filesystem is None:
        for each in far:
            raise PipelineError(f"{each} is not on this machine: say --filesystem {each.partition('://')[0]}.")
        yield Places(texts, wanted)
        return
    for each in far:
        if not each.startswith(f"{filesystem}://"):
            raise PipelineError(f"{each} is not of --filesystem {filesystem}: a run has one store.")
        if "::" in each:
            raise PipelineError(f"{each} has :: in it, by which fsspec joins several stores.")
    if not far:
        raise PipelineError(f"--filesystem {filesystem} is given, and no path begins with {filesystem}://.")
    if resume and any("://" in str(each) for each in wanted.values()):
        raise PipelineError(
            f"A run with outputs on {filesystem} can't be resumed: delete what it left, and begin without --resume."
        )
    with _folder() as folder:
        mirror = Mirror(filesystem, _store(filesystem, far), folder, texts, wanted)
        with mirror.named():
            mirror.fetch()
        yield mirror


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for its owner alone, in TMPDIR."""
    try:
        made = tempfile.mkdtemp(prefix="consent-filter-")
    except OSError as error:
        raise PipelineError(f"There is no folder for what is fetched: {kind(error)}.", 1) from None
    try:
        folder = Path(os.path.realpath(made))
        if glob.has_magic(str(folder)):  # patterns are found below it
            raise PipelineError("What is fetched can't be in a folder with *, ? or [ in its name: set another TMPDIR.")
        yield folder
    finally:
        shutil.rmtree(made, ignore_errors=True)


class _Store(NamedTuple):
    files: Any  # fsspec's
    root: str  # before the first name of every key: some stores have a / there
    keys: Mapping[str, str]  # by what was given


def _store(filesystem: str, texts: Sequence[str]) -> _Store:
    """The store of these paths. Raises PipelineError, which says what has to be installed."""
    package = _PACKAGES.get(filesystem)
    try:
        import fsspec
    except ImportError:
        needed = f"fsspec {package}" if package else "fsspec and its package for that"
        raise PipelineError(f"--filesystem {filesystem} needs fsspec: pip install {needed}") from None
    if filesystem in ("file", "local"):
        raise PipelineError("Local paths are given without --filesystem and without file://.")
    if filesystem not in fsspec.available_protocols():
        raise PipelineError(f"fsspec knows no filesystem “{filesystem}”.")
    with said(f"{filesystem}://", 2):
        try:
            found = {text: fsspec.url_to_fs(text) for text in texts}
        except ImportError:
            needed = package or f"the package of fsspec for {filesystem}"
            raise PipelineError(f"--filesystem {filesystem} needs {needed}: pip install {needed}") from None
    files, first = next(iter(found.values()))
    if any(each != files for each, _key in found.values()):
        raise PipelineError(f"These paths are of several accounts of {filesystem}: a run has one store.")
    root = "/" if first.startswith("/") and (files.root_marker or ":///" not in texts[0]) else ""
    return _Store(files, root, {text: key for text, (_files, key) in found.items()})


class Mirror(Places):
    """A store and its mirror: the object `s3://bucket/key` is `folder/s3/bucket/key`."""

    def __init__(
        self,
        filesystem: str,
        store: _Store,
        folder: Path,
        given: Sequence[str],
        targets: Mapping[str, str | Path],
    ) -> None:
        self._scheme, self._base = f"{filesystem}://", folder / filesystem
        self._files, self._root, keys = store
        self._read = [keys[text] for text in given if text in keys]
        far = {text: self._place(key) for text, key in keys.items()}
        self._targets = {place for text, place in far.items() if text in set(map(str, targets.values()))}
        self._fetched: dict[str, tuple[str, ...]] = {}
        self._uploads: dict[Path, dict[str, Any]] = {}  # target → the key and what is uploaded of each object
        self._tried: set[str] = set()  # to be published
        self._sizes: dict[str, int] = {}
        self._made: dict[str, tuple[Any, ...]] = {}  # by what an object of ours is known again: the size at least
        self._left: list[str] = []  # that could not be taken back
        super().__init__(
            [str(far.get(text, text)) for text in given],
            {what: far.get(str(path), path) for what, path in targets.items()},
        )

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        try:
            yield
        except PipelineError as error:
            left = f" Delete these if they are there: {', '.join(sorted(self._left))}." if self._left else ""
            raised = Left if left else type(error)
            self._left = []  # said once, however many blocks there are
            shown, told = (text.replace(f"{self._base}/", self._scheme) + left for text in (str(error), error.told))
            raise raised(shown, error.exit_code, told=told) from error

    def dataset(self, path: str | Path) -> tuple[str, str]:
        if not Path(path).is_relative_to(self._base):
            return super().dataset(path)
        bucket, _, key = Path(path).relative_to(self._base).as_posix().partition("/")
        return f"{self._scheme}{bucket}", key

    def _place(self, key: str) -> Path:
        """Where an object is in the mirror. Raises PipelineError for a name by which no file can be called."""
        name = key.removeprefix(self._root)
        parts = name.split("/")
        odd = any(part in ("", ".", "..") or len(part.encode(errors="replace")) > 255 for part in parts)
        if odd or _VERSION_OF in name or any(letter < " " for letter in name):
            raise PipelineError(f"{self._scheme + name!a} can't be filtered: its name is not like that of a file.")
        return self._base / name

    def _url(self, key: str) -> str:
        return self._scheme + key.removeprefix(self._root)

    # --- What is read -----------------------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Fetch what is read, if the targets are free. Raises PipelineError."""
        for place in map(Path, self.targets.values()):
            if os.path.lexists(place) or (place in self._targets and self._objects(self._key(place))):
                raise PipelineError(f"{place} is there already: nothing is overwritten.")
        for each in self.given:
            if os.path.isdir(each) and self._base.is_relative_to(os.path.realpath(each)):  # noqa: PTH112
                raise PipelineError(f"What is fetched would be in {each}, which is filtered too: set another TMPDIR.")
        found = {given: self._expand(given) for given in self._read}
        for given, objects in found.items():
            if not objects and not glob.has_magic(given):
                raise PipelineError(f"{self._url(given)} {NOT_THERE}.")
        self._fetched = self._versions(found.values())
        for folder in {
            str(each) for key in self._fetched for each in PurePosixPath(key).parents
        } & self._fetched.keys():
            raise PipelineError(f"{self._url(folder)} is an object and a folder, which no file is: move one of them.")
        needed = sum(int(size) for size, *_version in self._fetched.values())
        free = shutil.disk_usage(self._base.parent).free
        if needed > free:
            raise PipelineError(f"The files are {needed:,} bytes, and where they are fetched to are {free:,} free.", 1)
        for key, (size, *_version) in self._fetched.items():
            self._fetch(key, self._place(key), int(size))

    def require_unchanged(self) -> None:
        now = self._versions(map(self._expand, self._read))
        for key, version in self._fetched.items():
            if now.get(key) != version:
                raise changed(self._url(key))

    def _key(self, place: Path) -> str:
        return self._root + place.relative_to(self._base).as_posix()

    def _versions(self, found: Iterable[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
        """Objects → the size and the version of each."""
        return {key: _version(self._url(key), each) for objects in found for key, each in objects.items()}

    def _expand(self, given: str) -> dict[str, Any]:
        """The objects of a name, a folder or a pattern; `inputs.find` says later what is to be thought of them."""
        if glob.has_magic(given.removeprefix(self._root).partition("/")[0]):
            raise PipelineError(f"{self._url(given)} names no bucket: a pattern is for what is in one.")
        objects = self._objects(given)
        if objects or not glob.has_magic(given):
            inner = {key: PurePosixPath(key).relative_to(given).parts for key in objects}
            return {key: objects[key] for key in objects if not any(part[0] in "_." for part in inner[key])}
        parts = PurePosixPath(given).parts
        first = next(n for n, part in enumerate(parts) if glob.has_magic(part))
        root = Path(*parts[:first])
        return {key: each for key, each in self._objects(str(root)).items() if leads_to(Path(key), root, parts[first:])}

    def _objects(self, key: str) -> dict[str, Any]:
        """The object of this name, or those below it, as they are now. Raises PipelineError."""
        with said(self._url(key), 1 if self._fetched else 2):
            self._files.invalidate_cache()
            found = self._files.find(key, detail=True)
        # Consoles of stores make an object without bytes for an empty folder.
        empty = {name for name, each in found.items() if name.endswith("/") and not each["size"]}
        return {name: found[name] for name in sorted(found) if name not in empty and found[name]["type"] != "directory"}

    def _fetch(self, key: str, place: Path, size: int) -> None:
        url = self._url(key)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as out, contextlib.ExitStack() as closing:
                with said(url, 1):
                    source = closing.enter_context(self._files.open(key, "rb", block_size=_BLOCK))
                while True:
                    with said(url, 1):
                        chunk = source.read(_BLOCK)
                    if not chunk:
                        break
                    out.write(chunk)
        except OSError as error:  # of the mirror
            raise PipelineError(f"{url} can't be fetched: {kind(error)}.", 1) from None
        if place.stat().st_size != size:
            raise changed(url)

    # --- What is written --------------------------------------------------------------------------------------------

    def upload(self, path: Path, final: Path) -> None:
        if final not in self._targets:
            return
        for each in [path] if path.is_file() else sorted(path.rglob("*")):
            # In a folder, what a run keeps beside its files begins with a dot.
            if each == path or (each.is_file() and not each.name.startswith(".")):
                key = self._key(final / each.relative_to(path))
                self._place(key)  # a file of this machine may have a name that no object has
                with said(self._url(key), 1), each.open("rb") as source:
                    self._send(source, each.stat().st_size, key, self._uploads.setdefault(final, {}))

    def _send(self, source: BinaryIO, size: int, key: str, uploads: dict[str, Any]) -> None:
        """Upload a file in parts, of which a store makes an object when it is told that these are all."""
        uploads[key], self._sizes[key] = None, size
        if not size:  # no part
            return
        block = max(_BLOCK, size // _PARTS + 1)
        uploads[key] = self._files.open(key, "xb", block_size=block, autocommit=False)
        try:
            shutil.copyfileobj(source, uploads[key], block)
            uploads[key].close()
        finally:
            # What others show already is ours, for it was opened as a new one.
            if self._scheme not in _HIDING and self._objects(key):
                self._tried.add(key)
                self._made[key] = ()

    def publish(self, final: Path) -> None:
        uploads = self._uploads.get(final, {})
        for key, upload in uploads.items():
            self._tried.add(key)
            with said(self._url(key), 1):
                if upload is None:
                    self._make_empty(key)
                else:
                    upload.commit()
            self._made[key] = (self._sizes[key],)
        if uploads:
            self._require_alone(final)

    def _make_empty(self, key: str) -> None:
        try:
            self._files.pipe_file(key, b"", mode="create")
        except FileExistsError:  # of somebody else
            self._tried.discard(key)
            raise

    def _require_alone(self, final: Path) -> None:
        """Raises PipelineError if somebody else has written to a folder of outputs. What is ours is known from now on
        by its version."""
        there = self._objects(self._key(final))
        for key in there:
            if key not in self._made:
                raise PipelineError(f"{self._url(key)} has come to be there meanwhile: nothing is overwritten.", 1)
        self._made |= {key: _stamp(each) for key, each in there.items()}

    def take_back(self) -> None:
        for final, uploads in reversed(self._uploads.items()):  # nobody reads what has no report
            replaced = self._replaced(final) if not self._made.keys().isdisjoint(uploads) else set()
            for key, upload in uploads.items():
                gone = False
                with contextlib.suppress(Exception):  # whatever it is: the others are still to be deleted
                    gone = self._take_back(key, upload, replaced)
                # What can't be given up may have been made: the store's answer can get lost.
                if not gone and key in self._tried:
                    self._left.append(self._url(key))

    def _replaced(self, final: Path) -> set[str] | None:
        """What was made, and somebody else has written anew since; None: nobody knows."""
        try:
            there = self._objects(self._key(final))
        except PipelineError:
            return None
        return {key for key, known in self._made.items() if key in there and _stamp(there[key])[: len(known)] != known}

    def _take_back(self, key: str, upload: Any, replaced: set[str] | None) -> bool:
        """Returns whether nothing of it is left. Raises whatever the store's library does."""
        if key in self._made:
            if replaced is None:
                return False
            if key not in replaced:
                self._files.rm_file(key)
        elif upload is not None:
            upload.discard()
        else:
            return key not in self._tried
        return True


def _stamp(found: Mapping[str, Any]) -> tuple[Any, ...]:
    """By what an object is known again, the size first."""
    return (found["size"], *(found.get(name) for name in _VERSIONS))


def _version(url: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    """The size of an object, and whatever tells that it is no other one. Raises PipelineError if nothing does."""
    told = [f"{name} {found[name]}" for name in _VERSIONS if found.get(name) is not None]
    if not told or not isinstance(found.get("size"), int):
        raise PipelineError(f"{url} has no size or no version, by which a change could be seen.")
    return (str(found["size"]), *told)
