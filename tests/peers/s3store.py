"""s3store: what lies in a pretended S3: buckets, objects and unfinished uploads, their bytes as files of a private folder."""
from __future__ import annotations

import hashlib
import itertools
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

PART_BYTES_LEAST = 5 << 20  # Amazon S3, multipart limits: of every part but the last


@dataclass(frozen=True)
class Object:
    file: Path
    bytes: int
    etag: str  # with its quotes
    modified: float
    meta: dict[str, str] = field(default_factory=dict)  # x-amz-meta-*


@dataclass
class Upload:
    key: str
    id: str
    began: float
    meta: dict[str, str] = field(default_factory=dict)
    parts: dict[int, Object] = field(default_factory=dict)


@dataclass
class Bucket:
    objects: dict[str, Object] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)


class Refusal(Exception):
    """An S3 error: HTTP status, code, message; more elements of its XML, and headers."""

    def __init__(self, status: int, code: str, message: str = "", headers: dict[str, str] | None = None, **more: str):
        super().__init__(code)
        self.status, self.code, self.message, self.headers, self.more = status, code, message or code, headers or {}, more


class Incoming:
    """A body that is being taken in: add() it piece by piece; object() when it was whole, drop() when not."""

    def __init__(self, file: Path):
        self.file, self.bytes = file, 0
        self.md5, self.sha256 = hashlib.md5(), hashlib.sha256()
        self._out = open(file, "wb")

    def add(self, piece: bytes) -> None:
        self._out.write(piece)
        self.md5.update(piece)
        self.sha256.update(piece)
        self.bytes += len(piece)

    def object(self) -> Object:
        self._out.close()
        return Object(self.file, self.bytes, f'"{self.md5.hexdigest()}"', time.time())

    def drop(self) -> None:
        self._out.close()
        self.file.unlink(missing_ok=True)


class Store:
    """Every method is one step, whatever thread calls it."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.buckets: dict[str, Bucket] = {}
        self._lock = threading.RLock()
        self._number = itertools.count(1)

    def incoming(self) -> Incoming:
        return Incoming(self.folder / f"{next(self._number)}")

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=name)
        return self.buckets[name]

    def make(self, name: str) -> None:
        with self._lock:
            if name in self.buckets:
                raise Refusal(409, "BucketAlreadyOwnedByYou")
            self.buckets[name] = Bucket()

    def get(self, bucket: str, key: str) -> Object:
        found = self.bucket(bucket).objects.get(key)
        if not found:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.", Key=key)
        return found

    def put(self, bucket: str, key: str, made: Object, absent: bool, match: str = "") -> None:
        """absent: only where there is none; match: only in place of that ETag."""
        with self._lock:
            objects = self.bucket(bucket).objects
            if absent and key in objects:
                raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                              Condition="If-None-Match")
            if match and self.get(bucket, key).etag.strip('"') != match.strip('"'):
                raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                              Condition="If-Match")
            objects[key] = made

    def delete(self, bucket: str, key: str) -> None:
        with self._lock:
            self.bucket(bucket).objects.pop(key, None)

    def keys(self, bucket: str, prefix: str = "", after: str = "") -> list[str]:
        """In the order of their UTF-8 bytes."""
        with self._lock:
            return sorted((key for key in self.bucket(bucket).objects if key.startswith(prefix) and key.encode() > after.encode()),
                          key=str.encode)

    # --- uploads in parts

    def begin(self, bucket: str, key: str, meta: dict[str, str]) -> Upload:
        with self._lock:
            upload = Upload(key, secrets.token_urlsafe(48), time.time(), meta)
            self.bucket(bucket).uploads[upload.id] = upload
            return upload

    def upload(self, bucket: str, key: str, upload: str) -> Upload:
        found = self.bucket(bucket).uploads.get(upload)
        if not found or found.key != key:
            raise Refusal(404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
                          "been aborted or completed.", UploadId=upload)
        return found

    def part(self, bucket: str, key: str, upload: str, number: int, made: Object) -> None:
        with self._lock:
            self.upload(bucket, key, upload).parts[number] = made

    def complete(self, bucket: str, key: str, upload: str, named: list[tuple[int, str]], absent: bool, least: int) -> Object:
        with self._lock:
            begun = self.upload(bucket, key, upload)
            made = replace(self._joined(self._chosen(begun, named, least)), meta=begun.meta)
            try:
                self.put(bucket, key, made, absent)
            except Refusal:
                made.file.unlink()
                raise
            self._forget(bucket, begun)
            return made

    def abort(self, bucket: str, key: str, upload: str) -> None:
        with self._lock:
            self._forget(bucket, self.upload(bucket, key, upload))

    def uploads(self, bucket: str) -> list[Upload]:
        with self._lock:
            return sorted(self.bucket(bucket).uploads.values(), key=lambda upload: (upload.key.encode(), upload.began, upload.id))

    def _forget(self, bucket: str, begun: Upload) -> None:
        del self.bucket(bucket).uploads[begun.id]
        for part in begun.parts.values():
            part.file.unlink(missing_ok=True)

    @staticmethod
    def _chosen(begun: Upload, named: list[tuple[int, str]], least: int) -> list[Object]:
        if not named:
            raise Refusal(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
        if [number for number, _ in named] != sorted({number for number, _ in named}):
            raise Refusal(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        for number, etag in named:
            part = begun.parts.get(number)
            if not part or part.etag.strip('"') != etag.strip('"'):
                raise Refusal(400, "InvalidPart", "One or more of the specified parts could not be found.", PartNumber=str(number), ETag=etag)
        chosen = [begun.parts[number] for number, _ in named]
        for (number, _), part in zip(named[:-1], chosen):
            if part.bytes < least:
                raise Refusal(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size",
                              PartNumber=str(number), ProposedSize=str(part.bytes), MinSizeAllowed=str(least))
        return chosen

    def _joined(self, parts: list[Object]) -> Object:
        file, sums = self.folder / f"{next(self._number)}", hashlib.md5()
        with open(file, "wb") as out:
            for part in parts:
                sums.update(bytes.fromhex(part.etag.strip('"')))
                with open(part.file, "rb") as source:
                    shutil.copyfileobj(source, out, 1 << 20)
        return Object(file, sum(part.bytes for part in parts), f'"{sums.hexdigest()}-{len(parts)}"', time.time())
