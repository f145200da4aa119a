"""The store, database by database."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.conformance")
