"""No password stands in an address, whatever signs it is made of; ports and queries are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tidemill.config import set_params
from tidemill.database_addresses import password_problem, refuse_password
from tidemill.errors import ConfigError, UsageError


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:CAN?ARY@h/db",
        "postgresql://u:CANARY#x@h",
        "postgresql://u:CAN ARY@h/db#t",
        " postgresql://u:CANARY@h/db#t",
        "postgresql://user@corp:CANARY@h/db",
        "postgresql://u:12@h/db",
        "postgresql://u:12/CANARY@h/db",
        "postgresql://u:12#CANARY@h",
        "postgresql://h/db?%70assword=CANARY",
        "mssql+pyodbc://?odbc_connect=DRIVER%3Dx%3BPWD%3DCANARY",
        "postgres://u:CAN/ARY@h/db#t",
        "mongodb://u:CAN/ARY@h/db",
        "cockroachdb://u@h/db?password=CANARY#t",
        "https://u:CANARY@h/a.csv",
        "https://CANARY@h/a.csv",
        "s3://CANARY:CAN/ARY@bucket/a.csv",
        "s3://CANARY@bucket/a.csv",
        "https://h/a.csv?X-Amz-Algorithm=x&X-Amz-Credential=CANARY",
        "https://h/a.csv?X-Amz-Signature=CANARY",
        "https://h/a.csv?AWSAccessKeyId=CANARY&Expires=1",
        "https://h/a.csv?X-Goog-Signature=CANARY",
        "https://c.blob.core.windows.net/a.csv?sv=1&sig=CANARY",
        "https://h/a.csv?sv=1&%73ig=CANARY",
        "https://h/a.csv?key=CANARY",
        "https://h/a.csv?api_key=CANARY",
        "https://h/a.csv?access-token=CANARY",
        "abfs://c:CANARY@account.dfs.core.windows.net/a.csv",
    ],
)
def test_a_password_is_refused_and_not_repeated(address):
    """Of any scheme, for who writes one is rarely careful with the rest."""
    with pytest.raises(
        UsageError, match=r"dataset\.source is an address with a password"
    ) as caught:
        refuse_password(address, "dataset.source")
    assert "ARY" not in f"{caught.value} {caught.value.remedy} {caught.value.fields}"


@pytest.mark.parametrize("setting", ["dataset.source", "storage.url", "monitoring.archive"])
def test_no_setting_that_is_an_address_takes_a_password(setting):
    """Nor is it repeated, in params.yaml and by ``--set``."""
    text, told = "dataset: {source: a.csv, target: y}\n", f"{setting}=s3://u:CANARY@bucket/x"
    with pytest.raises(ConfigError, match=rf"{setting}: is an address with a password") as caught:
        set_params(text, [told])
    assert "CANARY" not in f"{caught.value} {caught.value.remedy} {caught.value.fields}"
    assert "s3://bucket/x" in set_params(text, [f"{setting}=s3://bucket/x"])


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://tide@h/db#rides",
        "postgresql://h:5432/db#SELECT * FROM t WHERE mail = 'a@b'",
        "postgresql://u@[::1]:5432/db",
        "postgresql://u@a:1,b:2/db#t",
        "postgresql://a:1,b:2/db#t",
        "postgresql:///db#t",
        "postgresql://h/db?sslmode=require#t",
        "sqlite:///C:/base.db#SELECT 'a:b@c'",
        "s3://bucket/a:b@c",
        "http://h:8080/x.csv",
        "https://h/x.csv?version=3&keys=all&design=2#Sheet",
        "abfs://container@account.dfs.core.windows.net/year=*/a.csv",
        "s3://bucket/part-?.csv",
        "postgresql://h/db?sslkey=/etc/client.key#t",
        "mysql://h/db?ssl_key=/etc/client.key#t",
        "rows://HOST/TABLE",
        "a:b@c.csv",
    ],
)
def test_what_is_none_is_taken(address):
    """Ports, hosts of six groups, paths and texts of queries."""
    assert password_problem(address) is None


@pytest.mark.parametrize("password", ["0,", "12,34/56", "12,ab/cd", "1,2,3", "12/56", "1,@2"])
def test_digits_and_commas_may_be_a_password(password):
    """As ports of several hosts are written."""
    assert password_problem(f"postgresql://u:{password}@h/db#t") is not None


@given(password=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_what_sqlalchemy_takes_for_a_password_is_one(password):
    """Every password of printable signs, behind a user and before a host and a table."""
    address = f"postgresql://u:{password}@h/db#t"
    try:
        found = make_url(address.partition("#")[0]).password
    except (ArgumentError, ValueError):
        found = None
    assert found is None or password_problem(address) is not None
