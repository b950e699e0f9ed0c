"""The load client against a server that speaks at once, refuses, falls silent or dies."""

import asyncio
import json
import signal
import sys

import pytest
from support.client_modules import CLIENTS, client_module
from support.speaking_server import SpeakingServer
from websockets.http11 import Request

from streamtts.errors import BadField, StreamTTSError, Unauthorized

load = client_module("load")
load_run = client_module("load_run")
load_wire = client_module("load_wire")

LIMIT_S = 30
SHORT = {"seconds": 0.4, "ramp_s": 0.1, "tail_s": 0.1, "audio_s": 0.25, "streams": 5,
         "priority": "normal", "lag_limit_ms": 1e6}  # fmt: skip


def run(main):
    async def guarded():
        async with asyncio.timeout(LIMIT_S):
            return await main

    return asyncio.run(guarded())


async def loaded(server, stop=None, serving=None, **fields):
    async with server.serving(**(serving or {})):
        return await load.run(load.LoadSpec(url=server.url, **{**SHORT, **fields}), stop=stop)


def test_a_run_counts_every_stream_and_every_second_of_sound():
    server = SpeakingServer()
    report = run(loaded(server))
    assert report.clean
    assert not report.void
    assert report.spec.s_per_char == pytest.approx(0.001, rel=0.01)
    assert report.measured_s == 0.4
    # 20 a second, 5 more in the ramp, and one to measure the pace
    inside = [x for x in report.streams if x.measured]
    assert report.started == len(inside) >= 5
    assert len(server.texts) - 1 == len(report.streams)
    spoken = dict(server.texts[1:])
    for stream in report.streams:
        assert stream.done
        assert stream.audio_s == pytest.approx(len(spoken[f"s{stream.number}"]) / 1000, abs=1e-3)
        assert stream.ttfa_ms > 0
        assert (stream.underruns, stream.error, stream.refused) == (0, "", "")
    assert report.ttfa_ms.n == report.started
    assert 1.0 < report.alive_mean < 10.0
    assert report.goodput == pytest.approx(report.audio_s / 0.4, rel=0.01)
    assert report.client.lag_ms.n == pytest.approx(8, abs=1)
    assert server.connections == len(report.streams) + 1


def test_lead_and_frame_are_asked_for_and_the_key_is_sent_but_not_told():
    server = SpeakingServer()
    seen = []

    def look(connection, request):
        seen.append(request.headers.get("Authorization"))

    report = run(loaded(server, serving={"process_request": look}, lead_ms=500, frame_ms=80,
                        key="secret", streams=2))  # fmt: skip
    assert report.clean
    assert set(seen) == {"Bearer secret"}
    assert b"secret" not in load.msgspec.json.encode(report)
    assert [x["lead_ms"] for x in server.hellos[:2]] == [0, 500]  # the pace is measured unpaced
    assert server.openings[1]["audio"]["frame_ms"] == 80


def test_text_at_a_token_rate():
    server = SpeakingServer()
    report = run(loaded(server, text="tokens", tokens_per_s=5000.0, audio_s=0.1, streams=2))
    assert report.clean
    texts = dict(server.texts[1:])
    lengths = [len(texts[f"s{x.number}"]) / 1000 for x in report.streams]
    assert [x.audio_s for x in report.streams] == pytest.approx(lengths, abs=1e-3)
    assert server.openings[1]["timestamps"] == ["word"]


def test_several_streams_share_a_connection():
    server = SpeakingServer()
    report = run(loaded(server, arrival="burst", streams=10, per_connection=4))
    assert report.clean
    assert server.connections == 1 + 3
    assert server.most_contexts <= 4


def test_a_burst_sends_all_texts_at_once_and_ends_when_all_were_heard():
    server = SpeakingServer()
    report = run(loaded(server, arrival="burst", streams=20, seconds=20.0))
    assert report.clean
    assert report.started == 20
    assert {x.start_s for x in report.streams} == {0.0}
    assert report.measured_s < 15.0
    assert report.rate_per_s == 0.0


def test_overload_starts_more():
    once, twice = (run(loaded(SpeakingServer(), overload=factor)) for factor in (1.0, 3.0))
    assert twice.rate_per_s == pytest.approx(3 * once.rate_per_s, rel=1e-3)
    assert len(twice.streams) > 2 * len(once.streams)


def test_refusals_are_counted_with_their_times():
    server = SpeakingServer()

    async def main():
        async with server.serving():
            spec = load.LoadSpec(url=server.url, s_per_char=0.001, **SHORT)
            server.full = True
            return await load.run(spec)

    report = run(main())
    assert report.refused == {"capacity": report.started}
    assert report.ramp_refused == sum(x.start_s < 0 for x in report.streams) >= 5
    assert report.refusal_ms.n == report.started
    assert (report.errors, report.ttfa_ms.n, report.goodput) == ({}, 0, 0.0)
    assert report.unanswered == 0
    assert not report.clean


def test_a_silent_server_leaves_streams_without_an_answer():
    server = SpeakingServer()

    async def main():
        async with server.serving():
            server.silent = True
            return await load.run(load.LoadSpec(url=server.url, s_per_char=0.001, **SHORT))

    report = run(main())
    assert report.unanswered == report.started == report.ttfa_ms.n
    assert report.ttfa_ms.max > 100  # those that wait count as they stand
    assert not report.clean


def test_a_server_that_dies_ends_the_run_with_a_partial_report():
    server = SpeakingServer()
    server.die_after = 16
    report = run(loaded(server, seconds=20.0))
    assert report.partial.startswith("the server went away: cannot connect")
    assert report.measured_s < 15.0
    assert sum(report.errors.values()) >= 1
    assert report.audio_s > 0
    assert not report.clean


def test_a_run_can_be_stopped():
    server = SpeakingServer()

    async def main():
        stop = asyncio.Event()
        spoken = server.speak

        async def speak(socket, name, texts):
            if len(server.texts) >= 10:
                stop.set()
            await spoken(socket, name, texts)

        server.speak = speak
        return await loaded(server, stop=stop, seconds=25.0)

    report = run(main())
    assert report.partial == "interrupted"
    assert report.measured_s < 20.0
    assert report.audio_s > 0


def test_a_stop_before_the_window_leaves_an_empty_report():
    async def main():
        stop = asyncio.Event()
        stop.set()
        return await loaded(SpeakingServer(), stop=stop, ramp_s=25.0)

    report = run(main())
    assert (report.partial, report.measured_s, report.started) == ("interrupted", 0.0, 0)
    assert load.load_table.table([report])


def test_a_client_that_lags_voids_its_run():
    report = run(loaded(SpeakingServer(), lag_limit_ms=0.0, streams=2))
    assert report.void
    assert "the client lagged" in report.void_reason


def test_nothing_is_left_behind():
    async def main():
        await loaded(SpeakingServer())
        return [task.get_name() for task in asyncio.all_tasks() if "load" in task.get_name()]

    assert run(main()) == []


def test_metrics_of_the_server_are_read():
    server = SpeakingServer()
    scrapes = []

    def metrics(connection, request: Request):
        if request.path == "/metrics":
            scrapes.append(1)
            return connection.respond(200, f"process_cpu_seconds_total {len(scrapes)}.5\n")
        return None

    report = run(loaded(server, serving={"process_request": metrics}))
    assert report.server.source == "/metrics"
    assert report.server.cpu_s == 1.0
    assert report.server.cpu_s_per_audio_s == pytest.approx(1.0 / report.audio_s, rel=1e-3)


def test_a_key_that_is_refused():
    def refuse(connection, request):
        return connection.respond(401, "no key\n")

    with pytest.raises(Unauthorized, match="401"):
        run(loaded(SpeakingServer(), serving={"process_request": refuse}))


def test_a_server_that_turns_the_key_away_after_the_handshake():
    server = SpeakingServer()

    async def turn_away(socket):
        error = {"type": "error", "code": "auth", "message": "no key, or a wrong one"}
        await socket.send(json.dumps(error))
        await socket.close(1008, "auth")

    server.handle = turn_away
    with pytest.raises(Unauthorized, match="no key, or a wrong one"):
        run(loaded(server))


@pytest.mark.parametrize("answer", ["refuse", "mp3"])
def test_a_first_stream_that_fails_ends_it(answer):
    server = SpeakingServer()
    server.full, server.encoding = answer == "refuse", "mp3"
    with pytest.raises(StreamTTSError, match="first stream"):
        run(loaded(server))


@pytest.mark.parametrize("url", ["ftp://a", "ws://", "http://[::1", "ws://a:b:c"])
def test_an_address_that_is_none(url):
    with pytest.raises(BadField, match="is no address"):
        run(load.run(load.LoadSpec(url=url)))


@pytest.mark.parametrize(
    ("url", "means"),
    [("127.0.0.1:9", "ws://127.0.0.1:9/v1/stream"), ("https://a/", "wss://a/v1/stream"),
     ("ws://a/other", "ws://a/other")],
)  # fmt: skip
def test_an_address_may_be_short(url, means):
    secure, path = means.startswith("wss"), means[means.index("/", 6) :]
    uri = load_wire.target(url)
    assert (uri.secure, uri.resource_name) == (secure, path)


def test_a_peer_that_is_no_websocket():
    async def main():
        async def answer(reader, writer):
            await reader.readline()
            writer.write(b"SSH-2.0-OpenSSH\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await load.run(load.LoadSpec(url=f"ws://127.0.0.1:{port}"))

    with pytest.raises(StreamTTSError, match=r"WebSocket|handshake"):
        run(main())


def test_a_frame_in_pieces_is_one_chunk():
    server = SpeakingServer()

    async def speak(socket, name, spoken):
        text = spoken[name]
        server.texts.append((name, text))
        audio = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}
        await server.say(socket, "opened", name, handle=9, audio=audio)
        frame = b"\x01\x03\x09\x00" + bytes(12) + bytes(320)
        await socket.send([frame[:10], frame[10:]])
        await server.say(socket, "done", name, reason="end", samples=160, chars=1,
                         metrics={"ttfa_ms": 1, "rtf": 1, "queue_ms": 0, "steps": 1,
                                  "underruns": 0, "starved_ms": 0})  # fmt: skip

    server.speak = speak
    report = run(loaded(server, s_per_char=0.001))
    assert {(x.chunks, x.audio_s) for x in report.streams} == {(1, 0.01)}


# -- the command


async def command(*words):
    script = str(CLIENTS / "load.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, *words, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)  # fmt: skip
    return process


def words_of(server):
    return ["--url", server.url, "--seconds", "0.2", "--ramp-s", "0.05", "--audio-s", "0.1",
            "--streams", "4", "--priority", "normal", "--lag-limit", "1e6"]  # fmt: skip


def test_the_command_prints_a_table_and_writes_the_report(tmp_path):
    server = SpeakingServer()
    path = tmp_path / "run.json"

    async def main():
        async with server.serving():
            process = await command(*words_of(server), "--json", str(path))
            out, said = await process.communicate()
            return process.returncode, out.decode(), said.decode()

    status, out, said = run(main())
    assert (status, said) == (0, "")
    assert "ttfa p50 / p95 / p99, ms" in out
    assert json.loads(path.read_text())["underruns"] == 0


def test_steps_and_overload_and_search(tmp_path, capsys):
    async def main():
        server = SpeakingServer()
        async with server.serving():
            for more in (["--steps", "1,3"], ["--overload", "2"],
                         ["--sustained", "--start", "2", "--most", "4", "--probe-s", "0.1",
                          "--confirm-s", "0.2", "--seeds", "1"]):  # fmt: skip
                options = load.parser().parse_args(
                    [*words_of(server), *more, "--json", str(tmp_path / "a.json")]
                )
                assert await load.measure(options, asyncio.Event()) == 0
                written.append(json.loads((tmp_path / "a.json").read_text()))

    written = []
    run(main())
    steps, overload, search = written
    assert [x["spec"]["streams"] for x in steps] == [1, 3]
    assert [x["spec"]["overload"] for x in overload] == [1.0, 2.0]
    assert (search["streams"], search["bounded"]) == (4, True)
    said = capsys.readouterr().out
    assert "goodput" in said
    assert "streams sustained: 4 or more" in said


def test_control_c_gives_a_partial_report():
    server = SpeakingServer()

    async def main():
        async with server.serving():
            process = await command(*words_of(server), "--seconds", "60")
            while len(server.texts) < 8:
                await server.spoke.wait()
                server.spoke.clear()
            process.send_signal(signal.SIGINT)
            out, said = await process.communicate()
            return process.returncode, out.decode(), said.decode()

    status, out, said = run(main())
    assert (status, said) == (130, "")
    assert "PARTIAL (4 streams): interrupted" in out


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--url", "ws://127.0.0.1:9"], 1, "does the server run there?"),
        (["--url", "ftp://a"], 1, "is no address"),
        (["--streams", "0"], 1, "streams: is 0; must be above 0"),
        (["--sentences", "/nowhere/at/all"], 1, "cannot read"),
        (["--json", "/nowhere/at/all.json"], 1, "no folder"),
        (["--steps", "1,x"], 2, "--steps"),
        (["--steps", "1,0"], 2, "--steps"),
        (["--sustained", "--steps", "1"], 2, "not allowed"),
        (["--help"], 0, ""),
    ],
)
def test_the_command_complains_in_one_line(words, status, says, capsys):
    try:
        result = load.main(words)
    except SystemExit as stopped:
        result = stopped.code
    assert result == status
    said = capsys.readouterr()
    assert says in said.err
    assert "Traceback" not in said.err
    assert ("Exit status:" in said.out) == (status == 0)


def test_it_loads_nothing_of_the_server():
    async def main():
        code = ("import runpy, sys; sys.argv = ['load.py', '--help']\n"
                f"sys.path.insert(0, {str(CLIENTS)!r})\n"
                "try:\n    runpy.run_path(sys.path[0] + '/load.py', run_name='__main__')\n"
                "except SystemExit:\n    pass\n"
                "heavy = {'torch', 'soxr', 'gruut', 'starlette', 'uvicorn', 'matplotlib'}\n"
                "sys.exit(', '.join(heavy & set(sys.modules)) or None)\n")  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE)  # fmt: skip
        said = (await process.communicate())[1]
        return process.returncode, said.decode()

    assert run(main()) == (0, "")
