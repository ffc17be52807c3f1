"""The press: runs ONE notebook on ONE kernel, in a process of its own.

It knows no database and no HTTP, and imports nothing of the rest of Pressroom.
"""

from pressroom.press.events import CellFinished, CellStarted, Event, Finished, Output, Reason, Result, Started
from pressroom.press.execution import execute
from pressroom.press.process import Press, Request, Stop

__all__ = [
    "CellFinished",
    "CellStarted",
    "Event",
    "Finished",
    "Output",
    "Press",
    "Reason",
    "Request",
    "Result",
    "Started",
    "Stop",
    "execute",
]
