"""What the driver makes of its measurements. Nothing is built or run.

`python3 -m unittest discover -s benches/versus/driver/tests -t benches/versus`
"""

import itertools
import json
import tempfile
import unittest
import xml.etree.ElementTree as xml
from argparse import Namespace
from pathlib import Path
from unittest import mock

from driver import contention, cycles, functions, main, peers, plots, programs, readme, report, start, targets
from driver.rows import Row

SVG = "{http://www.w3.org/2000/svg}"


def row(name, unit="count", samples=None, **values):
    return Row(name, f"title of {name}", unit, values, samples or {})


class Rows(unittest.TestCase):
    def test_a_row_has_the_medians_of_its_samples(self):
        made = Row.of_samples("a", "A", "ms", {"dynolock": [9, 1, 2], "sdk": iter([4, 1, 3, 2]), "lease": []})
        self.assertEqual(made.values, {"dynolock": 2, "sdk": 2.5})
        self.assertEqual(made.samples, {"dynolock": [9, 1, 2], "sdk": [4, 1, 3, 2]})

    def test_a_row_survives_json(self):
        made = Row.of_samples("a", "A", "ms", {"dynolock": [1.5, 2.5]})
        self.assertEqual(Row(**json.loads(json.dumps(made.as_json()))), made)

    def test_the_ratio_is_the_median_of_each_rounds_own(self):
        # By the medians it would be 40 / 20: the rounds were not equally loaded.
        wall = {"dynolock": [11, 40, 90], "raw": [10, 20, 100]}
        self.assertEqual(cycles.measured_against_floor(wall, "dynolock"), 1.1)
        self.assertEqual(cycles.measured_against_floor(wall, "raw"), 1)
        even = {"dynolock": [10, 30], "raw": [10, 10]}
        self.assertEqual(cycles.measured_against_floor(even, "dynolock"), 2)
        self.assertEqual(cycles.against_floor(even), {"dynolock": 2, "raw": 1})
        self.assertEqual(cycles.against_floor({"dynolock": [1]}), {}, "by --peer")

    def test_requests_beyond_the_allowance(self):
        class Process:
            def __init__(self, heard):
                self.heard = heard

            def tell(self, _):
                pass

            def hear(self, what):
                return self.heard[what]

        class Server:
            # In the first round, and in the second.
            asked = itertools.cycle([7] * len(peers.LOCKING) + [4] * len(peers.LOCKING))

            def ask(self, command):
                return {} if command == "reset" else {"requests": next(self.asked)}

        # Waited for 0.2 s, handed over in 30 ms: 4 + 2.3 requests are allowed.
        pair = Process({"acquired": 10, "released": 10.2}), Process({"acquired": 10.23, "released": 11})
        with mock.patch.object(contention, "pair", lambda *_, **__: pair):
            rows = {made.name: made for made in contention.hand_over(Server(), 2)}
        self.assertAlmostEqual(rows["hand_over_200_ms"].values["dynolock"], 30, places=6)
        beyond = rows["hand_over_200_ms_requests"]
        self.assertEqual(beyond.values["dynolock"], 5.5)
        self.assertAlmostEqual(beyond.samples["beyond_4_plus_wait_per_100_ms"]["dynolock"], 0.7)


class Table(unittest.TestCase):
    def test_a_figure_has_its_unit(self):
        for value, unit, text in [
            (1811312, "bytes", "1,811,312"), (86, "count", "86"), (2.5, "count", "2.5"),
            (4.301, "s", "4.30 s"), (42.06, "s", "42.1 s"), (2.84, "ms", "2.8 ms"), (983.6, "us", "984 µs"),
            (0.7681, "M", "0.768 M"), (427.34, "M", "427.3 M"), (1.255, "KiB", "1.25 KiB"),
            (1.349, "ratio", "1.35"), (0.0362, "fine", "0.036"), (0.24, "signed", "+0.2"),
            (1776.2, "rate", "1,776"), (None, "ms", "-"),
        ]:
            with self.subTest(unit=unit, value=value):
                self.assertEqual(report.shown(value, unit), text)

    def test_peers_have_their_columns_and_a_dash_where_they_cannot(self):
        lines = report.table([row("a", "ms", lease=2.0, dynolock=1.0)]).splitlines()
        self.assertEqual(lines[0], "| | dynolock | dynamodb-lease | aws-sdk-dynamodb | raw socket |")
        self.assertEqual(lines[1], "|---|--:|--:|--:|--:|")
        self.assertEqual(lines[2:], ["| title of a | 1.0 ms | 2.0 ms | - | - |"])

    def test_one_note_has_one_number(self):
        text = report.table([
            row("cold_tcp_wall", lease=1), row("lambda_tls_wall", lease=1),
            row("rate_16", "rate", {"failed": {"sdk": "slow"}}, lease=1),
        ])
        self.assertEqual(text.count("| 1 [1] |"), 2)
        self.assertIn("| - | 1 | - [2] | - |", text)
        self.assertIn("[1] Asks for the table and its time to live first: two requests more.  \n[2] A cycle", text)
        self.assertNotIn("[3]", text)

    def test_a_bad_environment_that_was_not_ended_is_named(self):
        text = report.table([row("bad_environments", samples={
            "dynolock": {"no region": {"clear": True}},
            "sdk": {"no region": {"clear": False}, "no table": {"clear": True}, "no host": {"clear": False}},
        }, dynolock=1, sdk=1)])
        self.assertIn("| 1 | - | 1 [1] | - |", text)
        self.assertIn("[1] Not so: no region, no host.", text)


class BadEnvironments(unittest.TestCase):
    def judged(self, wall=0.5, status=1, errors="no region\n"):
        return start.judged(programs.Run(wall, 0, status, errors))

    def test_one_line_a_status_and_less_than_a_second(self):
        self.assertEqual(self.judged(), {
            "clear": True, "status": 1, "lines": 1, "seconds": 0.5, "errors": "no region"})
        for bad in ({"wall": 1.0}, {"status": 0}, {"status": -6}, {"errors": ""}, {"errors": "a\nb\n"}):
            with self.subTest(bad):
                self.assertFalse(self.judged(**bad)["clear"])

    def test_only_dynolocks_own_fails_the_run(self):
        good, bad = self.judged(), self.judged(status=0)
        def rows(ours, theirs):
            return [row("bad_environments", samples={"dynolock": {"no table": ours}, "sdk": {"no table": theirs}})]
        self.assertEqual(start.failures(rows(good, bad)), [])
        self.assertEqual(len(start.failures(rows(bad, good))), 1)
        self.assertIn("no table", start.failures(rows(bad, good))[0])
        self.assertEqual(start.failures([row("bytes", dynolock=1)]), [])

    def test_the_command_ends_with_the_failure(self):
        bad = {"no table": self.judged(status=0)}
        for samples, status in (({"dynolock": bad}, 1), ({"dynolock": {}, "sdk": bad}, 0)):
            with tempfile.TemporaryDirectory() as folder, \
                    mock.patch.object(main.build, "build_all"), mock.patch.object(main, "say"), \
                    mock.patch.object(main, "print", create=True), \
                    mock.patch.object(main.signal, "signal"), \
                    mock.patch.object(main, "TARGET", Path(folder)), \
                    mock.patch.object(main, "measure") as measure:
                (Path(folder) / "results").mkdir()
                (Path(folder) / "results/table.md").write_text("")
                measure.return_value = [row("bad_environments", samples=samples)]
                self.assertEqual(main.main(["--quick"]), status)


class Functions(unittest.TestCase):
    def first_answers(self, outcome):
        """The rows of runs that started at 100 s by the wall clock."""
        server = mock.Mock(url="plain", tls="encrypted")
        server.environment.return_value = {}
        server.ask.side_effect = lambda command: {"api": "here:1"} if command.startswith("invoke") else outcome
        with tempfile.TemporaryDirectory() as scratch, \
                mock.patch.object(functions, "time") as time, mock.patch.object(functions, "os") as system, \
                mock.patch.object(programs, "start", return_value=4711) as started, \
                mock.patch.object(programs, "ended", return_value=(-9, 0.002)):
            (Path(scratch) / "errors").write_text("what it said")
            time.time.return_value = 100.0
            try:
                return {made.name: made for made in functions.first_answer(server, Path(scratch), 3)}
            finally:
                # Each is ended, whatever came of it.
                self.assertEqual(system.kill.call_count, started.call_count)
                self.assertEqual(started.call_args.args[1]["AWS_LAMBDA_RUNTIME_API"], "here:1")

    def test_the_time_is_that_of_the_answer(self):
        rows = self.first_answers({"what": "response", "at": 100.025, "body": {"locked": "function"}})
        self.assertEqual(list(rows), ["lambda_tcp_wall", "lambda_tcp_cpu", "lambda_tls_wall", "lambda_tls_cpu"])
        for over in ("tcp", "tls"):
            self.assertEqual(set(rows[f"lambda_{over}_wall"].values), {"dynolock", "lease", "sdk"})
            self.assertAlmostEqual(rows[f"lambda_{over}_wall"].values["sdk"], 25)
            self.assertAlmostEqual(rows[f"lambda_{over}_cpu"].values["sdk"], 2)
            self.assertEqual(len(rows[f"lambda_{over}_wall"].samples["sdk"]), 3)

    def test_anything_but_the_answer_is_a_failure(self):
        for outcome in (
            {"what": "nothing"},
            {"what": "error", "at": 100.1, "body": {"locked": "function"}},
            {"what": "response", "at": 100.1, "body": {"locked": "another"}},
        ):
            with self.subTest(outcome), self.assertRaisesRegex(RuntimeError, "what it said"):
                self.first_answers(outcome)


class Targets(unittest.TestCase):
    def aims(self, *rows):
        return {aim.title: aim for aim in targets.targets(rows)}

    def test_what_was_not_measured_is_no_target(self):
        self.assertEqual(self.aims(), {})
        self.assertEqual(self.aims(row("bytes", dynolock=1)), {})  # nothing to compare it with
        self.assertEqual(self.aims(row("bytes", lease=1)), {})
        self.assertEqual(self.aims(row("crates", lease=1)), {})

    def test_a_ratio_is_ours_to_theirs(self):
        name = "binary, against dynamodb-lease"
        met, missed = self.aims(row("bytes", dynolock=32, lease=100)), self.aims(row("bytes", dynolock=33, lease=100))
        self.assertEqual(met[name].measured, 0.32)
        self.assertTrue(met[name].met)
        self.assertFalse(missed[name].met)

    def test_nothing_lost_is_a_figure(self):
        name = "leases held at once, lost"
        self.assertTrue(self.aims(row("many_lost", dynolock=0))[name].met)
        self.assertFalse(self.aims(row("many_lost", dynolock=1))[name].met)

    def test_the_worst_counts_for_requests(self):
        for worst, met in ((-0.5, True), (0, True), (0.2, False)):
            aims = self.aims(row("hand_over_2_s_requests", dynolock=3, samples={
                "beyond_4_plus_wait_per_100_ms": {"dynolock": worst, "sdk": 9}}))
            self.assertIs(aims["requests beyond 4 + wait/100 ms, worst, 2 s"].met, met)

    def test_the_table_says_which_are_met(self):
        text = report.target_table([targets.Target("a", 0.036, 0.05, "fine"), targets.Target("b", 51.0, 50, "ms")])
        self.assertEqual(text.splitlines()[2:], [
            "| a | 0.05 | 0.036 | met |", "| b | 50.0 ms | 51.0 ms | **not met** |"])


class Readme(unittest.TestCase):
    rows = [row("a", "ms", dynolock=1.0)]

    def test_only_what_is_between_the_markers_is_replaced(self):
        text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
        new = readme.replaced(text, self.rows, "By hand.", [("A plot", "x/a.svg"), ("B", "x/b.svg")])
        self.assertTrue(new.startswith(f"before\n{readme.BEGIN}\nBy hand.\n\n| | dynolock |"))
        self.assertTrue(new.endswith(f"\n![A plot](x/a.svg)\n![B](x/b.svg)\n{readme.END}\nafter\n"))
        self.assertNotIn("old", new)
        again = readme.replaced(new, self.rows, "By hand.", [("A plot", "x/a.svg"), ("B", "x/b.svg")])
        self.assertEqual(again, new)

    def test_markers_must_be_there_once(self):
        for text in ("", readme.BEGIN, readme.END, readme.BEGIN * 2 + readme.END):
            with self.subTest(text), self.assertRaises(ValueError):
                readme.replaced(text, self.rows, "", [])

    def test_the_readme_has_them(self):
        text = (peers.ROOT / "README.md").read_text()
        self.assertIn("title of a", readme.replaced(text, self.rows, "", []))


class Results(unittest.TestCase):
    options = Namespace(quick=True, dynamodb_local=False, write_readme=False, only=None)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "results"

    def test_what_was_written_is_kept(self):
        parts = {"cycle": [row("cycle_wall", "us", dynolock=1.5)], "size": [row("bytes", "bytes", dynolock=5, lease=10)]}
        main.write(parts, self.options, self.folder)
        self.assertEqual(main.kept(self.folder), parts)
        told = json.loads((self.folder / "results.json").read_text())
        self.assertIn("--quick", told["conditions"])
        self.assertEqual([aim["met"] for aim in told["targets"]], [False])
        self.assertEqual(sorted(file.name for file in self.folder.iterdir()),
                         ["cycle.svg", "results.json", "size.svg", "table.md"])
        # In the order of the parts, whichever was measured first.
        table = (self.folder / "table.md").read_text()
        self.assertLess(table.index("title of bytes"), table.index("title of cycle_wall"))

    def test_a_row_without_figures_is_not_shown(self):
        parts = {"start": [Row.of_samples("cold_tcp_instructions", "instructions", "M", {"dynolock": []}),
                           row("cold_tcp_wall", "ms", dynolock=1.0)]}
        main.write(parts, self.options, self.folder)
        self.assertNotIn("instructions", (self.folder / "table.md").read_text())
        self.assertEqual(main.kept(self.folder), parts)

    def test_there_may_be_nothing_to_keep(self):
        self.assertEqual(main.kept(self.folder), {})

    def measure(self, only, measured, **instead):
        """Runs the driver over parts that are told what they find."""
        told = {part: (lambda part: lambda *_: [row(part, dynolock=measured)])(part) for part in ("size", "start")}
        with mock.patch.object(main, "PARTS", {**told, **instead}), mock.patch.object(main, "Server"), \
                mock.patch.object(main.cycles, "record"), mock.patch.object(main, "say"):
            rows = main.measure(Namespace(**{**vars(self.options), "only": only}), self.folder)
            return {made.name: made.values["dynolock"] for made in rows}

    def test_only_replaces_one_part_and_keeps_the_others(self):
        self.assertEqual(self.measure(None, 1), {"size": 1, "start": 1})
        self.assertEqual(self.measure(["start"], 2), {"size": 1, "start": 2})

    def test_a_whole_run_that_breaks_off_shows_nothing_of_before(self):
        self.measure(None, 1)
        with self.assertRaises(ZeroDivisionError):
            self.measure(None, 2, start=lambda *_: 1 / 0)
        self.assertEqual(list(main.kept(self.folder)), ["size"])


class Plots(unittest.TestCase):
    def test_a_plot_is_svg_with_a_bar_for_each_figure(self):
        rows = [row("a", "ms", dynolock=1.0, lease=4.0, raw=0.0), Row("b", "<b> & \"b\"", "count", {"sdk": 7})]
        drawn = xml.fromstring(plots.plot("Start & end", rows))
        self.assertEqual(drawn.tag, f"{SVG}svg")
        self.assertEqual(drawn.get("aria-label"), "Start & end")
        bars = [float(bar.get("width")) for bar in drawn.iter(f"{SVG}rect")]
        # To the longest of each row; what is nothing can be seen still.
        self.assertEqual(bars, [plots.BAR / 4, plots.BAR, 1, plots.BAR])
        texts = [text.text for text in drawn.iter(f"{SVG}text")]
        for text in ("Start & end", '<b> & "b"', "dynamodb-lease", "4.0 ms", "7"):
            self.assertIn(text, texts)
        height = float(drawn.get("height"))
        self.assertEqual(drawn.get("viewBox"), f"0 0 {plots.WIDTH} {height:.0f}")
        for bar in drawn.iter(f"{SVG}rect"):
            self.assertLess(float(bar.get("y")) + float(bar.get("height")), height)

    def test_nothing_but_noughts_is_drawn(self):
        xml.fromstring(plots.plot("Nothing", [row("a", "s", dynolock=0.0, sdk=0.0)]))

    def test_only_what_was_measured_has_a_plot(self):
        drawn = dict(plots.plots([row("lambda_tls_wall", "ms", dynolock=1.0), row("unknown", dynolock=1)]))
        self.assertEqual(list(drawn), ["start.svg"])
        self.assertNotIn("unknown", drawn["start.svg"])

    def test_each_peer_has_a_colour(self):
        self.assertEqual(set(plots.COLOURS), {peer.name for peer in peers.ALL})

    def test_what_is_kept_in_the_repository_is_well_formed(self):
        for file in peers.RESULTS.glob("**/*.svg"):
            with self.subTest(file.name):
                xml.parse(file)


if __name__ == "__main__":
    unittest.main()
