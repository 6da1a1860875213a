"""What a spool that fills up still takes."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Of the bytes that are not loaded. What keys used is recorded last of all to go: contents are shed long before."""

    max_bytes: int

    def sheds(self, size: int, *, strict: bool) -> bool:
        """Whether contents are left out: of strict keys when it is full, of others when it is half full."""
        return size >= (self.max_bytes if strict else self.max_bytes // 2)

    def refuses(self, size: int, *, strict: bool) -> bool:
        """Whether requests are refused: of strict keys when it is full, of others at a quarter beyond that."""
        return size >= (self.max_bytes if strict else self.max_bytes + self.max_bytes // 4)
