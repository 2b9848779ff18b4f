"""How long a client waits for a sign of its service, and when it asks for one. Pure: all times are
monotonic seconds that are passed in."""

from __future__ import annotations

import math

#: Seconds between pings while something is awaited, and of silence that mean a lost connection.
PING_EVERY, SILENCE = 2.0, 15.0
#: Seconds of silence in which a service must greet back, or a lost one have a successor.
GREETING_SILENCE = 10.0
#: Seconds for a service that said it is stopping to end, and for one that only answers pings.
PARTING, GREETING_AT_MOST = 60.0, 600.0
#: Connections lost in a row without a greeting before the service counts as out of order.
MAX_GREETINGS_LOST = 5


class Patience:
    """Of one connection after another. ``autostart``: a service that has ended is started again by
    us, so that nobody else's successor is waited for."""

    def __init__(self, *, autostart: bool) -> None:
        self._autostart = autostart
        #: When the last pong came.
        self.pong = 0.0
        #: When the connection was lost that is missed; None while none is.
        self.lost_at: float | None = None
        #: The service said that it is stopping: its end is waited for.
        self.parting = False
        self._greetings_lost = 0
        self._since = self._heard = 0.0
        self._pinged = -math.inf

    # ---- what happens

    def opened(self, now: float) -> None:
        """A connection is made; the greeting is next."""
        self._since = self._heard = self._pinged = now
        self.parting = False

    def greeted(self, now: float) -> None:
        self.lost_at, self._greetings_lost = None, 0
        self.pong = now

    def heard(self, now: float) -> None:
        """Anything came."""
        self._heard = now

    def asked(self, now: float) -> None:
        """Something is awaited again; nothing was before."""
        self._heard = self._pinged = now

    def pinged(self, now: float) -> None:
        self._pinged = now

    def lost(self, now: float) -> None:
        """The connection is lost, and missed."""
        if self.lost_at is None:
            self.lost_at = now

    def not_greeted(self) -> bool:
        """A connection came to nothing; whether it is worth another."""
        self._greetings_lost += 1
        return self._greetings_lost < MAX_GREETINGS_LOST

    def give_up(self) -> None:
        """It is out of order. The next call begins anew."""
        self._greetings_lost, self.lost_at = 0, None

    def stood_still(self, seconds: float) -> None:
        """This process did not run for ``seconds``: that silence was ours."""
        self._heard += seconds
        self._since += seconds
        self.pong += seconds
        if self.lost_at is not None:
            self.lost_at += seconds

    # ---- what is due

    @property
    def next_ping(self) -> float:
        return self._pinged + PING_EVERY

    @property
    def silent_at(self) -> float:
        """When a connection that says nothing counts as lost."""
        return self._heard + SILENCE

    @property
    def greeting_limit(self) -> float:
        """When a service that has not greeted back is given up."""
        if self.parting:
            return self._since + PARTING
        start = self._heard
        if self.lost_at is not None and not self._autostart and self._heard == self._since:
            start = self.lost_at
        return min(start + GREETING_SILENCE, self._since + GREETING_AT_MOST)
