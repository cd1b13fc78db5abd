"""What address spaces with a permission byte for each page have in common, whoever executes in them."""

PAGE = 4096
R, W = 1, 2


class Paged:
    """Of a space that has `permissions`, `limit`, and the methods copy, protect, read and write of webvm.kernel.cpu.Space."""

    def adopt(self, other, first, permissions):
        for page, permission in enumerate(permissions, first):
            if permission:
                self.copy(other, page * PAGE, PAGE)
                self.protect(page, 1, permission)

    def perms(self, first, pages):
        return bytes(self.permissions[first:first + pages])

    def _allows(self, address, length, access):
        perms = self.perms(address // PAGE, (address + length - 1) // PAGE - address // PAGE + 1)
        return address + length <= self.limit and all(p & access for p in perms)

    def try_read(self, address, length):
        return self.read(address, length) if self._allows(address, length, R) else None

    def try_write(self, address, data):
        if not self._allows(address, len(data), W):
            return False
        self.write(address, data)
        return True
