"""What this client has to do and what became of it, safe against crashes."""

from fedshow_client.queue.rows import (
    FINISHED,
    Job,
    JobState,
    Latest,
    NewJob,
    SeenRelease,
    SeenServer,
)
from fedshow_client.queue.store import Queue

__all__ = ["FINISHED", "Job", "JobState", "Latest", "NewJob", "Queue", "SeenRelease", "SeenServer"]
