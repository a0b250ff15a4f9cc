"""The error family. Every message names the place, the value and the remedy.

TokensieveError
|-- ConfigError           a setting that cannot be (wrong range, unknown name, refused combination)
|-- CheckpointError       a model folder that cannot be read, or does not fit what is asked of it
|-- DataError             a file, column or row that cannot be used
|-- InputError            a document that the model cannot take (no tokens, longer than the position table)
|-- TrainingError         a training that diverged
|-- HubError              the Hugging Face hub cannot be reached, or refuses what is asked
|-- OperatingSystemError  the operating system refuses (a full disk, a missing right, no memory)
`-- MissingExtraError     an optional dependency that is not installed
"""


def first_line(error: BaseException) -> str:
    """The first line of another library's error, shortened, for a message of ours."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


class TokensieveError(Exception):
    """Base of every error raised on purpose; its text is fit to be shown to the user as it is."""


class ConfigError(TokensieveError, ValueError):
    """A setting is out of range, unknown, or does not go with another one."""


class CheckpointError(TokensieveError, ValueError):
    """A model folder is missing, broken, of an unknown family, or of another format version."""


class DataError(TokensieveError, ValueError):
    """A file, a column or a row of the data cannot be used."""


class InputError(TokensieveError, ValueError):
    """A document given to the model has no tokens, or more than its position table."""


class TrainingError(TokensieveError, RuntimeError):
    """A training diverged; nothing is saved."""


class HubError(TokensieveError, OSError):
    """The Hugging Face hub cannot be reached, or refuses what is asked of it."""


class OperatingSystemError(TokensieveError, OSError):
    """The operating system refuses something: the disk is full, a right is missing, there is no memory."""


class MissingExtraError(TokensieveError, ImportError):
    """An optional dependency is missing; the message names the extra that brings it."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package '{package}', which is not installed: pip install 'tokensieve[{extra}]'"
        )
