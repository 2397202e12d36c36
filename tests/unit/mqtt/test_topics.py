"""Names at the broker: pinned, because dashboards of the world are built on them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecache.adapters.mqtt.topics import Topics, device_id, entity_name, slug, unique_id
from edgecache.model.ids import NodeId
from edgecache.model.reading import parse_series

NODE = NodeId("naaaqeayeaudaocajbifqydiob4")
TOPICS = Topics("edgecache", "homeassistant", "mabcdefghijklmnopqrstuvwxyz", "home")


def test_the_names_are_these() -> None:
    assert TOPICS.bridge_client == "edgecache-mabcdefghijkl-home"
    assert TOPICS.watch_client(NODE) == "edgecache-naaaqeayeaudaocajbifqydiob4-watch"
    assert TOPICS.term == "edgecache/bridge/mabcdefghijkl/home/term"
    assert TOPICS.bridge_availability == "edgecache/bridge/mabcdefghijkl/home/availability"
    assert TOPICS.availability(NODE) == "edgecache/naaaqeayeaudaocajbifqydiob4/_availability"
    assert TOPICS.state(NODE, "attic.temp") == "edgecache/naaaqeayeaudaocajbifqydiob4/attic.temp"
    assert TOPICS.state(NODE, "host/load1") == "edgecache/naaaqeayeaudaocajbifqydiob4/host/load1"
    assert TOPICS.birth == "homeassistant/status"
    assert TOPICS.bridge_unique_id == "edgecache_bridge_mabcdefghijkl_home"
    assert TOPICS.gateway_id == "edgecache_site_mabcdefghijkl_home"
    assert device_id(NODE) == "edgecache_naaaqeayeaudaocajbifqydiob4"
    assert unique_id(NODE, "attic.temp") == "edgecache_naaaqeayeaudaocajbifqydiob4_attic-2etemp"
    assert unique_id(NODE, "host/load1") == "edgecache_naaaqeayeaudaocajbifqydiob4_host-2fload1"
    config = "homeassistant/sensor/edgecache_naaaqeayeaudaocajbifqydiob4_host-2fload1/config"
    assert TOPICS.config("sensor", unique_id(NODE, "host/load1")) == config
    assert entity_name(NODE, "host/CPU--load_1") == "edgecache_naaaqeaye_host_cpu_load_1"


def test_a_site_that_is_no_topic_level_gets_a_digest() -> None:
    odd = Topics("edgecache", "homeassistant", "m", "Büro/1+#")
    assert odd.term == "edgecache/bridge/m/xjv25epq3glzyq4gs/term"
    assert Topics("p", "h", "m", "a").scope != Topics("p", "h", "m", "b").scope


def test_no_series_can_have_the_name_of_a_status_topic() -> None:
    with pytest.raises(Exception, match="not a series name"):
        parse_series("_availability")


SERIES = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9_:.-]{0,20}(/[A-Za-z0-9_:.-]{1,20})?"), fullmatch=True)


@given(SERIES, SERIES)
def test_slugs_are_legal_and_never_shared(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", slug(one))
    assert (slug(one) == slug(other)) == (one == other)


@given(SERIES)
def test_entity_names_are_what_home_assistant_takes(series: str) -> None:
    assert re.fullmatch(r"(?!.*__)(?!_)[\da-z_]+(?<!_)", entity_name(NODE, series))
