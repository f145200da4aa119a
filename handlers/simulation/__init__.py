"""A simulated clinic: the inbound events of design §3.1, seeded, so that every run says the same.

`cohort` is a clinic with published outcome shares and realistic mess, `story` one scripted
patient, `to_jsonl` either of them as lines for a file.
"""

from handlers.simulation.cohort import REALISTIC, admission_days, cohort
from handlers.simulation.event import Message
from handlers.simulation.lines import to_jsonl
from handlers.simulation.mess import CLEAN, Mess, Tally
from handlers.simulation.story import STORY_PATIENT, story

__all__ = [
    "CLEAN",
    "REALISTIC",
    "STORY_PATIENT",
    "Mess",
    "Message",
    "Tally",
    "admission_days",
    "cohort",
    "story",
    "to_jsonl",
]
