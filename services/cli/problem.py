"""What went wrong, for the person at the terminal."""


class Problem(Exception):
    """Ends the command with one clear message that says what to do.

    Attributes:
        code: the exit code; 1 for a state of affairs, 2 for a file or an argument that is wrong.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
