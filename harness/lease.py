"""A folder held by one process of many machines, on a file system that they share.

`flock` is not enough there: over NFS it depends on mount options whether other machines hear of it
(`local_lock`, `nolock`), Lustre keeps it to one machine or refuses it, some systems do not have it.
What holds on all of them is that of several processes which create one name exactly one succeeds
(`O_EXCL`, in NFS since version 3). So the holder is whoever created the last of the numbered files
`.lease.1`, `.lease.2`, ...; it writes into its file all the time that it lives. Another takes over
by creating the next number, once that file has been silent for long enough. Whoever is slow to
create a number finds a higher one and steps back, so that two never hold the folder.

No clocks are compared: who waits sees with its own whether the file changes. A holder that was
stopped and wakes up finds the next number there and knows that the folder is not its own any more.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UserError
from harness.printed import one_line

NAME = ".lease."
BEAT = 10.0  # seconds between two signs of life
SILENCE = 60.0  # without one, until another takes over; NFS may show a file this late
WIDTH = 512  # bytes of a file, so that a sign of life needs no more room on a full disk


@dataclass(frozen=True)
class Holder:
    """Whose a lease is.

    Attributes:
        machine: its name, with what tells containers and boots of it apart.
        process: its number there.
        started: of the process, in clock ticks since the machine's boot.
        since: in words.
        beats: signs of life so far; -1: it has let go.
    """

    machine: str
    process: int
    started: int
    since: str
    beats: int = 0

    def __str__(self) -> str:
        return one_line(
            f"process {self.process} on {self.machine.partition(' ')[0]} since {self.since}"
        )

    @property
    def is_here(self) -> bool:
        """Whether it is of this machine, where its process can be looked up."""
        return self.machine == machine()

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended."""
        if self.beats < 0:
            return True
        return self.is_here and started(self.process) != self.started


class Lease:
    """The last numbered file of a folder; `take` it, `let_go` of it.

    Args:
        folder: it is there.
        lost: called, in another thread, when another process has taken over.
        beat, silence: seconds, as the module has them.
    """

    def __init__(
        self,
        folder: Path,
        lost: Callable[[str], None],
        beat: float = BEAT,
        silence: float = SILENCE,
    ) -> None:
        self.folder, self._lost, self._beat, self._silence = folder, lost, beat, silence
        self._number, self._file = 0, -1
        self._own = Holder("", 0, 0, "")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, tell: Callable[[str], None], sure: bool = False) -> None:
        """Hold the folder.

        Args:
            tell: is told why this takes its time.
            sure: another lock has shown that nobody of this machine holds it.

        Raises:
            UserError: another process holds it.
        """
        while True:
            number, holder = last(self.folder)
            if holder is not None and not (holder.is_gone or (sure and holder.is_here)):
                self._watch(number, holder, tell)
            if self._create(number + 1):
                break
        for old in range(number, 0, -1):  # those before have been asked for by nobody since
            with suppress(OSError):
                (self.folder / f"{NAME}{old}").unlink()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def let_go(self) -> None:
        """Let the next process have the folder at once."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._file >= 0:
            with suppress(OSError):
                self._write(Holder(**{**asdict(self._own), "beats": -1}))
            os.close(self._file)
            self._file = -1

    def _watch(self, number: int, holder: Holder, tell: Callable[[str], None]) -> None:
        """Return when the holder has been silent for so long that it is gone.

        Raises:
            UserError: it lives, or another one has taken over.
        """
        told, until = False, time.monotonic() + self._silence
        while time.monotonic() < until:
            now = last(self.folder)
            if now != (number, holder):
                if now[1] is not None and now[1].is_gone:
                    return
                raise UserError(
                    f"{self.folder} is in use by {holder if now[0] == number else now[1]}; "
                    "wait for it or give another --out"
                )
            if not told and time.monotonic() > until - self._silence + 2 * self._beat:
                tell(f"{self.folder}: waiting to see whether {holder} still runs")
                told = True
            time.sleep(min(0.2, self._beat / 4))

    def _create(self, number: int) -> bool:
        """Create the file of this number; tells whether it is the last one."""
        file = self.folder / f"{NAME}{number}"
        try:
            self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        self._number, self._own = number, this_process()
        try:
            self._write(self._own)
        except OSError as error:
            # A full disk, say: of a file that says nothing nobody knows whose it is.
            self._take_back(file)
            raise OSError(error.errno, error.strerror, str(file)) from None
        if last(self.folder)[0] == number:
            return True
        self._take_back(file)  # it was slow, and others went on meanwhile
        return False

    def _take_back(self, file: Path) -> None:
        os.close(self._file)
        self._file = -1
        with suppress(OSError):
            file.unlink()

    def _write(self, holder: Holder) -> None:
        os.pwrite(self._file, json.dumps(asdict(holder)).encode().ljust(WIDTH), 0)
        os.fsync(self._file)

    def _live(self) -> None:
        """Give signs of life, and look whether another one has taken over."""
        beats, heard = 0, time.monotonic()
        while not self._ended.wait(self._beat):
            with suppress(OSError):
                number, holder = last(self.folder)
                if not number and self._again():
                    number, holder = last(self.folder)
                if number > self._number or not _is_same(holder, self._own):
                    self._lost(f"{self.folder} was taken over by {holder or 'another process'}")
                    return
                beats += 1
                self._write(Holder(**{**asdict(self._own), "beats": beats}))
                heard = time.monotonic()
            if time.monotonic() - heard > self._silence:
                self._lost(f"{self.folder} has not been reached for {self._silence:.0f} s")
                return

    def _again(self) -> bool:
        """Hold a folder that has been made anew, since the first was moved; tells whether it is."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        return self._create(1)


def last(folder: Path) -> tuple[int, Holder | None]:
    """Return the highest number and its holder; 0 and None where there is none.

    One whose file says nothing yet is somebody who has just come.
    """
    numbers = [int(name.removeprefix(NAME)) for name in os.listdir(folder)
               if name.startswith(NAME) and name.removeprefix(NAME).isdecimal()]  # fmt: skip
    number = max(numbers, default=0)
    if not number:
        return 0, None
    unknown = Holder("another machine", 0, 0, "a moment ago")
    try:
        content = json.loads((folder / f"{NAME}{number}").read_bytes()[:WIDTH])
        return number, Holder(**content)
    except (OSError, ValueError, TypeError):
        return number, unknown


def this_process() -> Holder:
    """Describe this process."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return Holder(machine(), os.getpid(), started(os.getpid()) or 0, since)


def machine() -> str:
    """Name this machine; containers, whose processes have other numbers, and boots differ."""
    told = [socket.gethostname()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        told.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(told)


def started(process: int) -> int | None:
    """Return when a process of this machine started, in its ticks; None where there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _is_same(holder: Holder | None, own: Holder) -> bool:
    return holder is not None and (holder.machine, holder.process, holder.started) == (
        own.machine, own.process, own.started,
    )  # fmt: skip
