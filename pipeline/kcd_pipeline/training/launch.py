"""The environment variables by which torchrun and accelerate launch describe the ranks that they start."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from kcd_pipeline.errors import UserError

ALONE_ADVICE = "Launch with torchrun or accelerate launch, which set all of them, or unset it to train in one process."


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The place of this process among those that were launched together.

    Attributes
    ----------
    rank, ranks
        Its number, 0-based, and the number of all of them.
    local_rank
        Its number among those of this machine.
    address, port
        Where rank 0 waits for the others.
    """

    rank: int
    ranks: int
    local_rank: int
    address: str
    port: int

    def __post_init__(self) -> None:
        if self.rank >= self.ranks:
            raise UserError(
                f"the variable RANK is '{self.rank}', expected a number below WORLD_SIZE, which is '{self.ranks}'. "
                f"{ALONE_ADVICE}"
            )
        if not 0 < self.port < 2**16:
            raise UserError(f"the variable MASTER_PORT is '{self.port}', expected a port, 1 to 65535. {ALONE_ADVICE}")

    @classmethod
    def read(cls, environment: Mapping[str, str], ranks: int) -> Self:
        """Read the variables of one of several `ranks`."""
        rank = _number(environment, "RANK")
        return cls(
            rank=rank,
            ranks=ranks,
            local_rank=_number(environment, "LOCAL_RANK") if "LOCAL_RANK" in environment else 0,
            address=_word(environment, "MASTER_ADDR"),
            port=_number(environment, "MASTER_PORT"),
        )

    def variables(self) -> dict[str, str]:
        """Return the variables that describe this launch."""
        return {
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.local_rank),
            "WORLD_SIZE": str(self.ranks),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }


def read_launch(environment: Mapping[str, str]) -> Launch | None:
    """Return the launch that `environment` describes; None for a process that was started alone.

    Raises
    ------
    UserError
        If a variable is missing beside the others, or is not what it should be.
    """
    for name in ("RANK", "LOCAL_RANK"):
        if name in environment and "WORLD_SIZE" not in environment:
            raise UserError(
                f"the variable {name} is '{environment[name]}', which only one of several ranks has, but WORLD_SIZE, "
                f"their number, is not set. {ALONE_ADVICE}"
            )
    ranks = _number(environment, "WORLD_SIZE") if "WORLD_SIZE" in environment else 1
    if not ranks:
        raise UserError(f"the variable WORLD_SIZE is '0', expected a number of processes. {ALONE_ADVICE}")
    return None if ranks == 1 else Launch.read(environment, ranks)


def _number(environment: Mapping[str, str], name: str) -> int:
    found = _word(environment, name)
    if not (found.isascii() and found.isdecimal() and len(found) < 10):
        raise UserError(f"the variable {name} is '{found}', expected a number. {ALONE_ADVICE}")
    return int(found)


def _word(environment: Mapping[str, str], name: str) -> str:
    found = environment.get(name, "")
    if not found:
        raise UserError(
            f"the variable WORLD_SIZE is '{environment.get('WORLD_SIZE')}', so this is one of several ranks, but "
            f"{name} is not set. {ALONE_ADVICE.replace('unset it', 'unset WORLD_SIZE')}"
        )
    return found
