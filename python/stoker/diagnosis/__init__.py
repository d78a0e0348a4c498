"""Why a run is as fast as it is: verdict, cures, and ways to see them."""

from .recording import Recording
from .verdict import Cure, Verdict, judge

__all__ = ["Cure", "Recording", "Verdict", "judge"]
