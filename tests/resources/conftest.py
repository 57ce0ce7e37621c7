"""What the tests of the resources share."""

from __future__ import annotations
