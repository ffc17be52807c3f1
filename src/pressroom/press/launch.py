"""How the stock launcher would start a kernel, and whether it can be forked instead."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

_THIS_PYTHON = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}


class CannotFork(Exception):
    """A kernel cannot be forked; says why in words that complete "kernels of this spec are not forked: ..."."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How the stock launcher would start a kernel: its spec's ``argv`` (with ``{connection_file}`` in it), the whole
    ``environment``, the ``language``, and the name of its ``provisioner``."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    language: str
    provisioner: str = "local-provisioner"
    own: Sequence[str] = ()
    """The variables that the spec itself sets, for its libraries to read when they are loaded."""

    @classmethod
    def of(cls, name: str, spec: KernelSpec, environment: Mapping[str, str]) -> "Launch":
        """That of a kernel spec, in an environment to which the spec's own variables are added."""
        given: dict[str, str] = spec.env
        known = dict(environment)
        added = {key: _substituted(value, known) for key, value in given.items()}
        metadata: dict[str, Any] = spec.metadata
        provisioner = metadata.get("kernel_provisioner", {}).get("provisioner_name", "local-provisioner")
        argv: list[str] = spec.argv
        if argv and argv[0] in _THIS_PYTHON:
            argv = [sys.executable, *argv[1:]]  # as jupyter_client has it
        return cls(name, tuple(argv), known | added, str(spec.language), provisioner, tuple(added))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Launch":
        """One whose fields came as JSON."""
        fields: dict[str, Any] = {**told, "argv": tuple(told["argv"]), "own": tuple(told["own"])}
        return cls(**fields)

    def interpreter(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The interpreter with its options, and what is said to ipykernel. Raises :class:`CannotFork`."""
        if sys.platform != "linux":
            raise CannotFork(f"forking is not safe on {sys.platform}")
        if self.provisioner not in ("local-provisioner", "pressroom-provisioner"):
            raise CannotFork(f"they are started by {self.provisioner}")
        if self.language.lower() != "python":
            raise CannotFork(f"their language is {self.language}")
        for module in ("ipykernel_launcher", "ipykernel"):
            if "-m" in self.argv and list(self.argv).index("-m") + 1 < len(self.argv):
                at = list(self.argv).index("-m")
                if self.argv[at + 1] == module:
                    return self._split(at)
        raise CannotFork("they are not started as python -m ipykernel_launcher -f {connection_file}")

    def _split(self, at: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        rest = list(self.argv[at + 2 :])
        for position, word in enumerate(rest):
            if word == "-f" and rest[position + 1 : position + 2] == ["{connection_file}"]:
                del rest[position : position + 2]
                break
            if word in ("-f={connection_file}", "--f={connection_file}"):
                del rest[position]
                break
        else:
            raise CannotFork("they are not started as python -m ipykernel_launcher -f {connection_file}")
        python = tuple(self.argv[:at])
        if not python or any(not option.startswith("-") for option in python[1:]):
            raise CannotFork(f"they are started by {self.argv[0]}, which is more than an interpreter")
        return python, tuple(rest)


def own_launch(wanted: Launch, base: Mapping[str, str], environment: Mapping[str, str]) -> Launch:
    """How this process would start a kernel in the environment ``base``, where another account's process wants to start
    it in ``environment``. Raises :class:`CannotFork` where that process has found another kernel than this one: a fork
    server is root, and runs nothing that somebody else can name."""
    try:
        spec = KernelSpecManager().get_kernel_spec(wanted.name)
    except (NoSuchKernel, ValueError) as error:
        raise CannotFork("the service has no such kernel") from error
    if Launch.of(wanted.name, spec, environment) != wanted:
        raise CannotFork("the service knows them by another spec")
    return Launch.of(wanted.name, spec, base)


def _substituted(value: str, environment: Mapping[str, str]) -> str:
    return Template(value).safe_substitute(environment)
