"""Loading: each record once, whatever breaks and whenever."""

import asyncio
import collections
import contextlib
import datetime
import json
import pathlib
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hybridinference.gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry

from services.gateway.loader import loading
from services.gateway.loader.batches import Place
from services.gateway.loader.loading import Keeping, Loader
from services.gateway.loader.reader import read_spool_id
from services.gateway.loader.rows import parse
from services.gateway.loader.store import Overtaken, Refused, Store, open_store
from services.gateway.spool.framing import frame
from services.gateway.spool.kept import kept
from services.gateway.spool.segments import CLOSED, DEAD_DIRECTORY, OPEN, Segment, segments
from services.gateway.spool.spool import open_spool
from tests.gateway.loader.records import TODAY, content, prices, record, spooled, uuid7_of, write_segment
from tests.gateway.loader.running import DAY, following, ids, ids_of, load_once, loader_of, payloads, progress, query
from tests.gateway.loader.sums import assert_sums
from tests.gateway.loader.waiting import eventually
from tests.postgres import Postgres


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "spool"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_the_less_there_is_to_load_the_more_seldom_it_is_looked_for() -> None:
    pause, pauses = 0.0, []
    for found in (True, *[False] * 8, True, True, False):
        pause = loading.next_pause(pause, found=found)
        pauses.append(pause)
    assert pauses == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0, 1.0, 1.0, 0.15, 0.15, 0.3])


async def test_what_a_gateway_spooled_is_in_the_ledger_and_gone_from_disk(spool: pathlib.Path, dsn: str) -> None:
    taken = [record(attempts=number % 3) for number in range(300)]
    async with open_spool(spool, registry=CollectorRegistry()) as gateway:
        for one in taken:
            gateway.append(one)
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of(taken)
    [row] = await query(dsn, "SELECT count(*) AS n, count(DISTINCT generation_id) AS of FROM attempts")
    assert (row["n"], row["of"]) == (300, 200)
    assert segments(spool) == []
    [aside] = kept(spool)
    assert await progress(dsn) == {aside.segment.name: aside.segment.size}
    assert not (spool / DEAD_DIRECTORY).exists()


async def test_sql_tells_a_requests_times_tokens_and_attempts(spool: pathlib.Path, dsn: str) -> None:
    made = record(attempts=2)
    write_segment(spool, payloads([made]))
    await load_once(spool, dsn)
    [row] = await query(dsn, "SELECT * FROM request_summary WHERE generation_id = $1", made.request.generation_id)
    assert (row["latency_ms"], row["first_token_ms"], row["attempts"]) == (250.0, 50.0, 2)
    assert (row["input_tokens"], row["output_tokens"], row["worker"]) == (40, 8, "local-0")


async def test_a_shadow_that_ends_after_its_request_adds_an_attempt_that_does_not_count(
    spool: pathlib.Path, dsn: str
) -> None:
    made, late = record(), record()
    late.request.CopyFrom(made.request)
    late.attempts[0].kind = "shadow"
    write_segment(spool, payloads([made, late]))
    await load_once(spool, dsn)
    [row] = await query(dsn, "SELECT * FROM request_summary")
    assert row["attempts"] == 1
    assert [row["kind"] for row in await query(dsn, "SELECT kind FROM attempts ORDER BY kind")] == ["", "shadow"]


async def test_sums_of_each_hour_are_moved_by_what_is_new_alone(spool: pathlib.Path, dsn: str) -> None:
    taken = [record(attempts=number % 3, seconds=600 * number) for number in range(40)]
    for number, one in enumerate(taken):
        one.request.key_id = f"{number % 3:016d}"
        if number % 10 == 3:
            one.request.outcome, one.request.error_reason = ledger_pb2.OUTCOME_ERROR, "MODEL_NOT_FOUND"
            one.request.model = f"invented-{number}"
            one.request.ClearField("provider")
        if number % 10 == 7:  # left before anybody could say that there is no such model
            one.request.outcome, one.request.error_reason = ledger_pb2.OUTCOME_CANCELLED, "CANCELLED"
            one.request.model = f"invented-{number}"
            one.request.ClearField("provider")
    late = record()
    late.request.CopyFrom(taken[5].request)
    late.attempts[0].kind = "shadow"
    write_segment(spool, payloads([*taken[:25], taken[3], late]))
    write_segment(spool, payloads([*taken[20:], late]))
    await load_once(spool, dsn)
    await assert_sums(dsn)
    [row] = await query(dsn, "SELECT sum(requests) AS n, sum(cost_nano_usd) AS cost FROM requests_hourly")
    assert (row["n"], row["cost"]) == (40, sum(one.request.cost_nano_usd for one in taken))
    assert len(await query(dsn, "SELECT DISTINCT hour FROM requests_hourly")) == 7
    [row] = await query(
        dsn, "SELECT sum(attempts) AS n, sum(attempts) FILTER (WHERE kind = 'shadow') AS s FROM attempts_hourly"
    )
    assert (row["n"], row["s"]) == (sum(len(one.attempts) for one in taken) + 1, 1)
    assert [row["model"] for row in await query(dsn, "SELECT DISTINCT model FROM requests_hourly ORDER BY 1")] == [
        "",
        "smollm2",
    ]


async def test_what_was_said_is_kept_for_as_long_as_its_key_has_it(spool: pathlib.Path, dsn: str) -> None:
    said = content(input='{"messages": []}')
    write_segment(spool, payloads([said, record(), said]))
    await load_once(spool, dsn)
    [row] = await query(dsn, "SELECT *, keep_until - now() AS left FROM contents")
    assert (str(row["generation_id"]), row["key_id"]) == (said.content.generation_id, said.content.key_id)
    assert (row["policy"], row["input"], row["output"]) == ("stored", '{"messages": []}', "answered")
    assert datetime.timedelta(days=29, hours=23) < row["left"] <= datetime.timedelta(days=30)
    assert len(await ids(dsn)) == 1


async def test_each_version_of_the_prices_is_kept_once(spool: pathlib.Path, dsn: str) -> None:
    write_segment(spool, payloads([prices("v1", 3), record(), prices("v1", 3), prices("v2", 1), prices("v3", 0)]))
    write_segment(spool, payloads([prices("v1", 3)]))
    await load_once(spool, dsn)
    found = await query(dsn, "SELECT version, count(*) AS n FROM prices GROUP BY 1 ORDER BY 1")
    assert [(row["version"], row["n"]) for row in found] == [("v1", 3), ("v2", 1)]
    assert not (spool / DEAD_DIRECTORY).exists()


async def test_a_price_that_grows_with_the_prompt_has_a_row_for_each_step(spool: pathlib.Path, dsn: str) -> None:
    table = prices("v1", 2)
    for entry, start in zip(table.prices.entries, (0, 200_000), strict=True):
        entry.provider_model, entry.above_input_tokens = "m", start
    write_segment(spool, payloads([table]))
    await load_once(spool, dsn)
    found = await query(dsn, "SELECT above_input_tokens, input_pico_usd FROM prices ORDER BY 1")
    assert [tuple(row.values()) for row in found] == [(0, 0), (200_000, 1)]


async def test_a_month_without_partitions_gets_them(spool: pathlib.Path, dsn: str) -> None:
    taken = [record() for _ in range(6)]
    for number, one in enumerate(taken):
        moment = datetime.datetime(2024, 1 + 2 * (number % 3), 28, tzinfo=datetime.UTC)
        one.request.generation_id, one.attempts[0].attempt_id = uuid7_of(moment), uuid7_of(moment)
    write_segment(spool, payloads(taken))
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of(taken)
    assert len(await query(dsn, "SELECT FROM requests_202403")) == 2
    await assert_sums(dsn)


async def test_a_month_that_is_dropped_under_a_running_loader_comes_back(spool: pathlib.Path, dsn: str) -> None:
    moment = datetime.datetime(2024, 3, 5, tzinfo=datetime.UTC)
    taken = [record() for _ in range(2)]
    loader = loader_of(spool, dsn, CollectorRegistry())
    for one in taken:
        one.request.generation_id, one.attempts[0].attempt_id = uuid7_of(moment), uuid7_of(moment)
    async with following(loader):
        write_segment(spool, payloads(taken[:1]))
        await eventually(lambda: not segments(spool))
        await query(dsn, "DROP TABLE requests_202403, attempts_202403")
        write_segment(spool, payloads(taken[1:]))
        await eventually(lambda: not segments(spool))
    assert await ids(dsn) == ids_of(taken[1:])
    assert not (spool / DEAD_DIRECTORY).exists()


async def test_an_id_of_an_absurd_time_is_put_aside_and_makes_no_partition(spool: pathlib.Path, dsn: str) -> None:
    taken = [record() for _ in range(3)]
    taken[1].request.generation_id = uuid7_of(datetime.datetime(2999, 1, 1, tzinfo=datetime.UTC))
    write_segment(spool, payloads(taken))
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of([taken[0], taken[2]])
    [about] = (spool / DEAD_DIRECTORY).glob("*.json")
    assert json.loads(about.read_text())["reason"] == "generation_id is of an absurd time"
    assert not await query(dsn, "SELECT FROM pg_class WHERE relname LIKE 'requests_2999%'")


async def test_a_batch_that_met_a_deadlock_is_loaded_again(spool: pathlib.Path, dsn: str) -> None:
    await query(dsn, "CREATE SEQUENCE turns")
    await query(
        dsn,
        """CREATE FUNCTION deadlocked_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('turns') = 1 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$""",
    )
    await query(
        dsn,
        "CREATE TRIGGER once BEFORE INSERT ON requests_hourly FOR EACH ROW EXECUTE FUNCTION deadlocked_once()",
    )
    taken = [record() for _ in range(10)]
    loader = loader_of(spool, dsn, CollectorRegistry())
    write_segment(spool, payloads(taken))
    async with following(loader):
        await eventually(lambda: not segments(spool))
    assert await ids(dsn) == ids_of(taken)
    assert not (spool / DEAD_DIRECTORY).exists()
    await assert_sums(dsn)


async def test_loaders_of_several_gateways_add_to_the_same_sums(spool: pathlib.Path, dsn: str) -> None:
    """Keys in another order in each, so that they would meet crosswise if each came to the rows in its own order."""
    loaders, stop = [], asyncio.Event()
    for number in range(3):
        mine = spool.with_name(f"spool-{number}")
        for part in range(4):
            taken = [record(seconds=part) for _ in range(150)]
            for index, one in enumerate(taken):
                one.request.key_id = f"{index * (1, 7, 149)[number] % 150:016d}"
            write_segment(mine, payloads([prices(f"v{part}", 5), *taken]))
        loaders.append(loader_of(mine, dsn, CollectorRegistry()))
    stop.set()
    with structlog.testing.capture_logs() as lines:
        await asyncio.gather(*[loader.follow(stop) for loader in loaders])
    assert [line["event"] for line in lines] == ["loader.working"] * 3
    assert len(await ids(dsn)) == 3 * 4 * 150
    assert len(await query(dsn, "SELECT FROM requests_hourly")) == 150
    await assert_sums(dsn)


async def test_decisions_and_hashes_arrive_as_they_were_told(spool: pathlib.Path, dsn: str) -> None:
    made = record(attempts=2)
    made.request.prefix_hashes.extend([1, 2**64 - 1])
    made.request.refused_by.ruled_out["full"] = 2
    write_segment(spool, payloads([made]))
    await load_once(spool, dsn)
    [row] = await query(dsn, "SELECT prefix_hashes, refused_by->'ruled_out'->>'full' AS n FROM requests")
    assert (row["prefix_hashes"], row["n"]) == ([1, -1], "2")
    found = await query(dsn, "SELECT decision->'candidates'->0->'terms'->>'generations' AS n FROM attempts")
    assert [row["n"] for row in found] == ["3.0", "3.0"]


async def test_a_running_loader_takes_records_as_they_come(
    spool: pathlib.Path, dsn: str, registry: CollectorRegistry
) -> None:
    taken = [record() for _ in range(20)]
    loader = loader_of(spool, dsn, registry)
    async with following(loader), open_spool(spool, registry=CollectorRegistry()) as gateway:
        for count, one in enumerate(taken, 1):
            gateway.append(one)
            await gateway.flushed()
            if count % 10 == 0:
                await eventually(lambda: registry.get_sample_value("hybrid_loader_requests_total") == count)  # noqa: B023
        assert registry.get_sample_value("hybrid_loader_behind_bytes") == 0
    assert await ids(dsn) == ids_of(taken)


async def test_a_record_that_is_being_written_is_waited_for(spool: pathlib.Path, dsn: str) -> None:
    taken = [record(), record()]
    whole = frame(taken[1].SerializeToString())
    path = write_segment(spool, payloads(taken[:1]), tail=whole[:-9], suffix=OPEN)
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of(taken[:1])
    with path.open("ab") as file:
        file.write(whole[-9:])
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of(taken)
    assert not (spool / DEAD_DIRECTORY).exists()


async def test_a_torn_tail_is_put_aside_once_its_writer_is_gone(
    spool: pathlib.Path, dsn: str, registry: CollectorRegistry
) -> None:
    taken = record()
    torn = frame(record().SerializeToString())[:-9]
    write_segment(spool, payloads([taken]), tail=torn)
    await load_once(spool, dsn, registry)
    assert await ids(dsn) == ids_of([taken])
    assert segments(spool) == []
    [kept] = (spool / DEAD_DIRECTORY).glob("*.record")
    assert kept.read_bytes() == torn
    assert registry.get_sample_value("hybrid_loader_dead_letters_total") == 1


@pytest.mark.parametrize("suffix", [OPEN, CLOSED])
@pytest.mark.parametrize("where", [5, 100])
async def test_a_flipped_bit_costs_one_record(spool: pathlib.Path, dsn: str, where: int, suffix: str) -> None:
    taken = [record() for _ in range(10)]
    path = write_segment(spool, payloads(taken), suffix=suffix)
    data = bytearray(path.read_bytes())
    data[sum(len(frame(payload)) for payload in payloads(taken[:4])) + where] ^= 0x40
    path.write_bytes(data)
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of(taken[:4] + taken[5:])
    [kept] = (spool / DEAD_DIRECTORY).glob("*.record")
    assert len(kept.read_bytes()) == len(frame(taken[4].SerializeToString()))


async def test_a_record_that_postgresql_refuses_costs_no_other(
    spool: pathlib.Path, dsn: str, registry: CollectorRegistry
) -> None:
    taken = [record() for _ in range(100)]
    taken[37] = record(model="poison")
    taken[61].attempts[0].number = 2**32 - 1  # beyond the column's type
    taken[80].request.generation_id = "not a UUID"
    await query(dsn, "ALTER TABLE requests ADD CHECK (model <> 'poison')")
    write_segment(spool, [*payloads(taken), b"\x07not protobuf"])
    await load_once(spool, dsn, registry)
    good = [one for index, one in enumerate(taken) if index not in (37, 61, 80)]
    assert await ids(dsn) == ids_of(good)
    assert segments(spool) == []
    reasons = [json.loads(path.read_text())["reason"] for path in sorted((spool / DEAD_DIRECTORY).glob("*.json"))]
    assert [reason.partition(" ")[0] for reason in reasons] == ["23514", "OverflowError", "generation_id", "not"]
    assert not any("poison" in reason for reason in reasons)
    assert registry.get_sample_value("hybrid_loader_requests_total") == 97


async def test_a_dead_letter_can_be_loaded_again(spool: pathlib.Path, dsn: str) -> None:
    taken = record(model="poison")
    await query(dsn, "ALTER TABLE requests ADD CONSTRAINT no_poison CHECK (model <> 'poison')")
    write_segment(spool, payloads([taken]))
    await load_once(spool, dsn)
    await query(dsn, "ALTER TABLE requests DROP CONSTRAINT no_poison")
    [kept] = (spool / DEAD_DIRECTORY).glob("*.record")
    kept.rename(spool / f"00000000000000000001-again{CLOSED}")
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of([taken])


async def test_a_schema_of_another_version_buries_nothing(spool: pathlib.Path, dsn: str) -> None:
    taken = [record() for _ in range(3)]
    await query(dsn, "ALTER TABLE requests ADD COLUMN later text NOT NULL")
    write_segment(spool, payloads(taken))
    await load_once(spool, dsn)
    assert spooled(spool) == taken
    assert not (spool / DEAD_DIRECTORY).exists()
    await query(dsn, "ALTER TABLE requests DROP COLUMN later")
    await load_once(spool, dsn)
    assert await ids(dsn) == ids_of(taken)


async def test_a_segment_that_comes_back_after_it_was_loaded_changes_nothing(
    spool: pathlib.Path, dsn: str, tmp_path: pathlib.Path, registry: CollectorRegistry
) -> None:
    taken = [record() for _ in range(50)]
    path = write_segment(spool, payloads(taken))
    shutil.copy(path, tmp_path / "kept")
    await load_once(spool, dsn, keeping=Keeping(0, 0))
    assert (kept(spool), await progress(dsn)) == ([], {})
    shutil.copy(tmp_path / "kept", path)
    await load_once(spool, dsn, registry)
    assert await ids(dsn) == ids_of(taken)
    await assert_sums(dsn)
    assert registry.get_sample_value("hybrid_loader_replayed_total") == 50
    assert len(await query(dsn, "SELECT FROM attempts")) == 50


async def test_a_refused_or_overtaken_batch_leaves_nothing(spool: pathlib.Path, dsn: str) -> None:
    await query(dsn, "ALTER TABLE requests ADD CHECK (model <> 'poison')")
    write_segment(spool, [])
    spool_id = read_spool_id(spool)
    assert spool_id
    good, poison = (parse(record(model=model).SerializeToString(), TODAY) for model in ("good", "poison"))
    async with open_store(dsn) as store:
        with pytest.raises(Refused):
            await store.load(spool_id, "1-a", 0, 20, [good, poison])
        with pytest.raises(Overtaken):
            await store.load(spool_id, "1-a", 10, 20, [good])
        assert await store.progress(spool_id) == {}
        assert await store.load(spool_id, "1-a", 0, 10, [good]) == 1
        with pytest.raises(Overtaken):
            await store.load(spool_id, "1-a", 0, 20, [good])
        assert await store.load(spool_id, "1-a", 10, 20, [good]) == 0
        assert await store.progress(spool_id) == {"1-a": 20}
    assert len(await ids(dsn)) == 1


async def test_two_loaders_that_meet_load_once(spool: pathlib.Path, dsn: str) -> None:
    """The lock on the spool's directory keeps them apart; this is what is left if it does not."""
    taken = [record(attempts=2) for _ in range(3000)]
    for start in range(0, len(taken), 500):
        write_segment(spool, payloads(taken[start : start + 500]), suffix=OPEN)
    async with asyncio.TaskGroup() as group:
        loaders = [loader_of(spool, dsn, CollectorRegistry()) for _ in range(2)]
        stop = asyncio.Event()
        for loader in loaders:
            group.create_task(loader.follow(stop))
        await eventually(lambda: all(loader.behind()[0] == 0 for loader in loaders))
        stop.set()
    assert await ids(dsn) == ids_of(taken)
    assert len(await query(dsn, "SELECT FROM attempts")) == 6000


async def test_a_database_that_stops_and_comes_back_gets_every_record(
    spool: pathlib.Path, dsn: str, postgres: Postgres, registry: CollectorRegistry
) -> None:
    taken = [record() for _ in range(30)]

    def connected() -> float | None:
        return registry.get_sample_value("hybrid_database_up", {"use": "ledger"})

    loader = loader_of(spool, dsn, registry)
    async with open_spool(spool, registry=CollectorRegistry()) as gateway, following(loader):
        for part in range(3):
            if part == 1:
                postgres.stop()
            for one in taken[10 * part : 10 * part + 10]:
                gateway.append(one)
            await gateway.flushed()
            await eventually(lambda: connected() == (0 if part == 1 else 1) and (part == 1 or not loader.behind()[0]))  # noqa: B023
            if part == 1:
                assert registry.get_sample_value("hybrid_loader_behind_bytes")
                postgres.start()
        await eventually(lambda: loader.behind()[0] == 0)
    assert await ids(dsn) == ids_of(taken)


async def test_an_idle_loader_notices_that_the_database_stopped(
    spool: pathlib.Path, dsn: str, postgres: Postgres, registry: CollectorRegistry
) -> None:
    async with following(loader_of(spool, dsn, registry)):
        await eventually(lambda: registry.get_sample_value("hybrid_database_up", {"use": "ledger"}) == 1)
        postgres.stop()
        await eventually(lambda: registry.get_sample_value("hybrid_database_up", {"use": "ledger"}) == 0)
        postgres.start()
        await eventually(lambda: registry.get_sample_value("hybrid_database_up", {"use": "ledger"}) == 1)


async def test_a_database_that_stays_away_is_tried_again_and_told_of_once(
    spool: pathlib.Path, registry: CollectorRegistry
) -> None:
    tries = 0
    stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def away() -> AsyncIterator[Store]:
        nonlocal tries
        tries += 1
        if tries == 4:
            stop.set()
        raise ConnectionRefusedError(111, "nobody there")
        yield

    with structlog.testing.capture_logs() as lines:
        async with asyncio.timeout(20):
            await Loader(spool, away, registry, keeping=DAY).follow(stop)
    assert tries == 5
    assert [line["event"] for line in lines] == ["loader.failing", "loader.left_behind"]
    assert lines[0]["code"] == 111


async def test_without_a_database_a_stop_ends_soon_and_keeps_the_spool(
    spool: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    taken = [record()]
    write_segment(spool, payloads(taken))
    await load_once(spool, f"postgresql://postgres@/nowhere?host={tmp_path}")
    assert spooled(spool) == taken


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_connection_lost_during_commit_loads_once(
    spool: pathlib.Path,
    dsn: str,
    postgres: Postgres,
    tmp_path: pathlib.Path,
    registry: CollectorRegistry,
    arrives: bool,
) -> None:
    taken = [record() for _ in range(50)]
    write_segment(spool, payloads(taken))
    cuts = 1

    async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cuts
        upstream_reader, upstream = await asyncio.open_unix_connection(f"{postgres.directory}/.s.PGSQL.5432")

        async def answers() -> None:
            while data := await upstream_reader.read(65536):
                writer.write(data)
            writer.close()

        with contextlib.closing(upstream), contextlib.closing(writer):
            async with asyncio.TaskGroup() as group:
                answering = group.create_task(answers())
                while data := await reader.read(65536):
                    if b"COMMIT;" in data and cuts:
                        cuts -= 1
                        answering.cancel()
                        if arrives:
                            upstream.write(data)
                            await upstream_reader.readexactly(1)
                        return
                    upstream.write(data)
                answering.cancel()

    server = await asyncio.start_unix_server(relayed, tmp_path / ".s.PGSQL.5432")
    async with server:
        loader = loader_of(spool, dsn.replace(str(postgres.directory), str(tmp_path)), registry)
        async with following(loader):
            await eventually(lambda: not segments(spool))
    assert cuts == 0
    assert await ids(dsn) == ids_of(taken)
    await assert_sums(dsn)
    # Where the commit did arrive, the progress told so, and nothing was even tried again.
    assert registry.get_sample_value("hybrid_loader_requests_total") == (0 if arrives else 50)
    assert registry.get_sample_value("hybrid_loader_replayed_total") == 0


async def test_a_loader_that_finds_nothing_new_does_no_more_than_look(
    spool: pathlib.Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segment(spool, payloads([record()]), suffix=OPEN)
    done = collections.Counter[str]()

    def looked(directory: pathlib.Path) -> list[Segment]:
        done["looks"] += 1
        return segments(directory)

    class Watched(Loader):
        def _places(self, found: list[Segment]) -> Iterator[tuple[Place, int]]:
            done["loads"] += 1
            return super()._places(found)

    monkeypatch.setattr(loading, "segments", looked)
    async with following(Watched(spool, lambda: open_store(dsn), CollectorRegistry(), keeping=DAY)):
        await eventually(lambda: done["looks"] > 4)
    assert await ids(dsn)
    assert done["loads"] == 1
