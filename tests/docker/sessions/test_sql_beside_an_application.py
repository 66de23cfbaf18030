"""Sessions in the database of an application, on MariaDB and PostgreSQL."""

from __future__ import annotations

import flask
import pytest

from nodes.sessions import current_session
from tests.integration.sessions.test_sql_beside_an_application import (
    ORDER,
    Shop,
    seen,
    shop,
    test_a_transaction_that_only_reads_blocks_no_writer_and_sees_its_own_view,
    write,
)

__all__ = ["shop", "test_a_transaction_that_only_reads_blocks_no_writer_and_sees_its_own_view"]


@pytest.mark.parametrize("keeps", [True, False])
def test_a_session_is_saved_whether_the_application_commits_or_rolls_back(shop: Shop, keeps: bool) -> None:
    def order() -> None:
        with shop.engine.connect() as connection:
            connection.execute(ORDER)
            write()
            current_session.save()
            connection.commit() if keeps else connection.rollback()

    assert shop.get(order) == 200
    assert (shop.orders(), seen(shop)) == (int(keeps), 1)
    assert not [statement for statement in shop.sent if "sessions" in statement]


def test_a_refused_session_leaves_the_transaction_of_the_application_open(shop: Shop) -> None:
    def order() -> None:
        with shop.engine.connect() as connection:
            connection.execute(ORDER)
            with pytest.raises(TypeError):
                flask.session["a"] = object()
                current_session.save()
            write()
            connection.commit()

    assert shop.get(order) == 200
    assert (shop.orders(), seen(shop)) == (1, 1)
