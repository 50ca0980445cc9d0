"""What a run says where there is no terminal."""

import io

from rich.console import Console

from pipeline.progress import Progress
from workflows.display import PlainDisplay
from workflows.events import Finished, Started


def test_a_stage_ends_with_what_came_out():
    file = io.StringIO()
    screen = PlainDisplay(Console(file=file, width=40))
    for note in ("model 0.4, persistence 0.7", ""):
        for event in (Started("scores"), Progress(0, 3, "reading"), Progress(3, 3, note), Finished(0.71)):
            screen.tell("scores", event)
    assert file.getvalue().splitlines() == [
        "scores: started",
        "scores: done in 0.7 s; model 0.4, persistence 0.7",
        "scores: started",
        "scores: done in 0.7 s",
    ]
