"""The pages behind mappings: file contents by inode, and anonymous memory that processes share.

Knows inodes and bytes; knows no address space, except to tell those that map a page shared that it changed.
Contents are kept in chunks of 64 KiB, which is also what the block layer reads at once.
"""

import weakref
from collections import OrderedDict

from webvm.fs.vfs import now
from webvm.kernel.cpu import PAGE

CHUNK_PAGES = 16
CHUNK = CHUNK_PAGES * PAGE
CACHE_CHUNKS = 512              # 32 MiB
CLOCK_STEP = 20_000_000         # ns: coarser than any host's clock, browsers' included


class FilePages:
    """The content of one inode as mappings see it."""

    def __init__(self, inode, cache):
        self.inode, self.cache = inode, cache
        self.stamp, self.racy = None, False
        self.chunks = {}
        self.looks = None                       # whether a program that maps this as code may look at exceptions; None: nobody asked
        self.lately = {}                        # chunks that private mappings had faults for, the latest last
        self.shared = weakref.WeakSet()         # address spaces with a MAP_SHARED mapping of this

    def refresh(self):
        """Forget the content if the file was written since it was read; True then."""
        inode = self.inode
        stamp = inode.mtime, inode.ctime, inode.size
        if stamp == self.stamp and not self.racy:
            return False
        self._stamp()
        self.chunks.clear()
        self.looks = None
        return True

    def _stamp(self):
        """Remember how the file looked. A file written just now may be written again with the same time: such a look
        proves nothing."""
        inode = self.inode
        self.stamp = inode.mtime, inode.ctime, inode.size
        self.racy = now() - max(inode.mtime, inode.ctime) < CLOCK_STEP

    @property
    def page_count(self):
        return -(-self.inode.size // PAGE)

    def chunk(self, index):
        """Content of chunk INDEX, short or empty past the end of the file; None when it must be loaded first."""
        data = self.chunks.get(index)
        if data is not None:
            self.cache.used(self, index)
        elif index * CHUNK >= self.inode.size:
            return b""
        return data

    def page(self, index):
        """Content of one page, b"" past the end; None when it must be loaded first."""
        data = self.chunk(index // CHUNK_PAGES)
        if data is None:
            return None
        start = index % CHUNK_PAGES * PAGE
        return data[start:start + PAGE]

    async def load(self, index):
        data = bytes(await self.inode.read(index * CHUNK, CHUNK))
        self.chunks[index] = data
        self.cache.used(self, index)

    async def store(self, index, data):
        """Write a page of a shared mapping back; what lies past the end of the file is dropped."""
        room = self.inode.size - index * PAGE
        if room > 0:
            self.chunks.pop(index // CHUNK_PAGES, None)
            self.looks = None
            await self.inode.write(index * PAGE, data[:room])
            self._stamp()


class SharedPages:
    """Anonymous shared memory: zero until written."""

    page_count = 1 << 40

    def __init__(self):
        self.pages = {}
        self.shared = weakref.WeakSet()

    def refresh(self):
        return False

    def page(self, index):
        return self.pages.get(index, b"")

    async def store(self, index, data):
        self.pages[index] = data


class PageCache:
    """FilePages by inode; when there are too many chunks, those used longest ago are dropped."""

    def __init__(self):
        self._files = weakref.WeakKeyDictionary()
        self._recent = OrderedDict()

    def of(self, inode):
        pages = self._files.get(inode)
        if pages is None:
            pages = self._files[inode] = FilePages(inode, self)
        return pages

    def used(self, pages, index):
        """A chunk that is there: one lately loaded, perhaps."""
        key = weakref.ref(pages), index
        self._recent[key] = None
        self._recent.move_to_end(key)
        while len(self._recent) > CACHE_CHUNKS:
            (dropped, at), _ = self._recent.popitem(last=False)
            if dropped() is not None:
                dropped().chunks.pop(at, None)
