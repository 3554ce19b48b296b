#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whatever surrounds the command, no work is lost and nothing is damaged: standard streams that are closed or full, files that may
have only so many bytes, little address space, names of folders that are no text, pipes as data, an empty environment, an output
that cannot be written when a run goes on."""
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import _hone
from _hone import HONE, check, code, hone

_hone.need_hone()
tmp = _hone.folder()
DATA, NET = tmp / "d.csv", tmp / "n.onnx"


def make():
    with open(DATA, "w") as f:
        f.write("a,b,c,label\n")
        for i in range(240):
            x = [(i * k % 61) / 30 - 1 for k in (7, 11, 13)]
            f.write("%g,%g,%g,%d\n" % (*x, x[0] + x[1] > 0))
    code("a model", hone("new", "3-8-8-2 relu batchnorm", "--seed", 3, "-o", NET), 0)


JOB = ["--target", "label", "--seed", 1, "--val-split", 0.25, "--threads", 1, "--progress", "none"]
TRAIN = [*JOB, "--epochs", 4, "--ema", 0.9, "--pretrain", 1, "--keep-run"]
TUNE = [*JOB, "--epochs", 2, "--search", "lr=log:1e-3..1e-1", "--search", "batch_size=16,32", "--trials", 4, "--jobs", 1]


def call(*args, before=None, **more):
    """hone as a child process in which `before` was done first."""
    return subprocess.run([os.fsencode(str(a)) if not isinstance(a, bytes) else a for a in (HONE, *args)], preexec_fn=before,
                          **{"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "timeout": 300, **more})


def close(*streams):
    def before():
        for fd in streams:
            os.close(fd)
    return before


def test_closed_streams():
    """A file that is opened must not get the number of a closed stream, or messages would be written into it."""
    whole = tmp / "whole.onnx"
    code("undisturbed", hone("train", NET, "--data", DATA, *TRAIN, "-o", whole), 0)
    for streams in ((1,), (2,), (0,), (0, 1, 2), (1, 2)):
        out = tmp / "closed.onnx"
        r = call("train", NET, "--data", DATA, *TRAIN, "-o", out, before=close(*streams))
        check(f"closed {streams}: exit", r.returncode == (6 if 1 in streams else 0), (r.returncode, r.stderr))
        check(f"closed {streams}: the model", out.exists() and out.read_bytes() == whole.read_bytes())
        run = tmp / "closed.onnx.run"
        for line in (run / "events.jsonl").read_text().splitlines():
            check(f"closed {streams}: events", line.startswith('{"event":'), line)
        check(f"closed {streams}: metrics", len((run / "metrics.csv").read_text().splitlines()) == 6)
        out.unlink()
        shutil.rmtree(run)
    r = call("tune", NET, "--data", DATA, *TUNE, "-o", tmp / "ct.onnx", before=close(0, 1, 2))
    check("a search with closed streams", r.returncode == 6 and (tmp / "ct.onnx").exists(), r.returncode)
    check("its study", json.loads((tmp / "ct.onnx.run" / "study.json").read_text())["stop_reason"] == "trials")
    r = call("eval", NET, "--data", "-", "--target", "label", before=close(0))
    check("closed standard input", r.returncode == 6 and b"standard input" in r.stderr, (r.returncode, r.stderr))


def test_full_stdout():
    with open("/dev/full", "w") as full:
        for args in (["inspect", NET], ["help", "params"], ["doctor"], ["diff", NET, tmp / "whole.onnx"], ["version"],
                     ["inspect", NET, "--json"], ["report", tmp / "whole.onnx.run", "--json"],
                     ["train", NET, "--data", DATA, *TRAIN, "--print-config"]):
            r = call(*args, stdout=full)
            check(f"{args[0]} onto a full disk", r.returncode == 6 and b"standard output" in r.stderr, (r.returncode, r.stderr))
    out = tmp / "piped.onnx"
    p = subprocess.Popen([str(a) for a in (HONE, "train", NET, "--data", DATA, *TRAIN, "-o", out)], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL)
    p.stdout.close()  # nobody reads
    check("a pipe that nobody reads", p.wait() == 6 and out.read_bytes() == (tmp / "whole.onnx").read_bytes(), p.returncode)


def test_names():
    """Line breaks, bytes that are no UTF-8, what YAML takes for a line break, quotes: folders go on from what they hold."""
    whole = None
    for name in (b"plain", b"two\nlines", b"caf\xe9", b"\xff\xfe", "a\u2028b".encode(), "\u0085".encode(), b"it's \"so\"", b"%s%n", b" x ",
                 b"a=b:c", b"#x", b"\xc3\xa9"):
        here = os.path.join(os.fsencode(str(tmp)), b"in", name)
        os.makedirs(here)
        at = {f: os.path.join(here, f) for f in (b"n.onnx", b"d.csv", b"o.onnx", b"t.onnx", b"t.onnx.run", b"o.onnx.run", b"c.onnx")}
        shutil.copy(NET, at[b"n.onnx"])
        shutil.copy(DATA, at[b"d.csv"])
        what = repr(name)
        job = [at[b"n.onnx"], "--data", at[b"d.csv"]]
        r = call("train", *job, *TRAIN, "-o", at[b"o.onnx"])
        check(f"{what}: train", r.returncode == 0, r.stderr)
        r = call("resume", at[b"o.onnx.run"], "--epochs", "+1")
        check(f"{what}: resume", r.returncode == 0, r.stderr)
        r = call("tune", *job, *TUNE, "-o", at[b"t.onnx"])
        check(f"{what}: tune", r.returncode == 0, r.stderr)
        os.unlink(at[b"t.onnx"])
        r = call("resume", at[b"t.onnx.run"])
        check(f"{what}: resume of a search", r.returncode == 0, r.stderr)
        both = open(at[b"o.onnx"], "rb").read(), open(at[b"t.onnx"], "rb").read()
        whole = whole or both
        check(f"{what}: the same bytes", both == whole)
        for run in (b"o.onnx.run", b"t.onnx.run"):
            r = call("report", at[run], "--json", stdout=subprocess.PIPE)
            check(f"{what}: report", r.returncode == 0 and json.loads(r.stdout)["ok"], r.stderr)
        options = call("train", *job, *TRAIN, "--print-config", stdout=subprocess.PIPE).stdout
        (tmp / "options.yaml").write_bytes(options)
        r = call("train", at[b"n.onnx"], "--config", tmp / "options.yaml", "-o", at[b"c.onnx"])
        check(f"{what}: --print-config", r.returncode == 0, r.stderr)
        again = call("train", at[b"n.onnx"], "--config", tmp / "options.yaml", "--print-config", stdout=subprocess.PIPE).stdout
        check(f"{what}: printed again", again == options, (options, again))
    r = call("inspect", b"caf\xe9", "--json", stdout=subprocess.PIPE)
    check("an error about such a name", r.returncode == 6 and json.loads(r.stdout)["error"]["where"] == "caf?", (r.stdout, r.stderr))
    for text in ("!!binary 'x'", "!!binary 'AAAA'", "!!binary '===='", "!!binary 'YQ=a'", "!!binary 'Y\u00e9=='"):
        (tmp / "bad.yaml").write_text(f"lr: 0.1\ndata: {text}\n")
        code(text, hone("train", NET, "--config", tmp / "bad.yaml", "-o", tmp / "x.onnx"), 2, "bad.yaml line 2", "base64")


def test_limits():
    """Files of at most so many bytes stand for a disk that is full: an error that says so, then the same bytes as undisturbed."""
    results = {"train": hone("train", NET, "--data", DATA, *TRAIN, "-o", tmp / "lt.onnx"), "tune": hone("tune", NET, "--data", DATA, *TUNE, "-o", tmp / "ls.onnx")}
    wanted = {"train": (tmp / "lt.onnx").read_bytes(), "tune": (tmp / "ls.onnx").read_bytes()}
    failures = 0
    for kind, job in (("train", TRAIN), ("tune", TUNE)):
        code(f"{kind} without limit", results[kind], 0)
        for size in [1, 200, 700, 1500, 2500, 4000, 6000, 9000, 20000, 40000, 60000]:
            out, run = tmp / "limited.onnx", tmp / "limited.onnx.run"
            r = call(kind, NET, "--data", DATA, *job, "-o", out, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
            said = r.stderr.decode()
            check(f"{kind}, {size} bytes: exit", r.returncode in (0, 6) and (r.returncode == 0 or "hone: " in said), (r.returncode, said))
            failures += r.returncode != 0
            check(f"{kind}, {size} bytes: nothing is half written", not out.exists() or out.read_bytes() == wanted[kind])
            goes_on = any((run / f).exists() for f in ("checkpoint.hone", "checkpoint.old.hone", "tune.yaml"))
            if r.returncode:
                code(f"{kind}, {size} bytes: afterwards", hone("resume", run) if goes_on else hone(kind, NET, "--data", DATA, *job, "--force", "-o", out), 0)
            check(f"{kind}, {size} bytes: the same bytes", out.exists() and out.read_bytes() == wanted[kind])
            out.unlink(missing_ok=True)
            shutil.rmtree(run, ignore_errors=True)
    check("some did not fit", failures > 8, failures)
    print(f"  {failures} runs ended by a limit")


def test_data():
    whole = tmp / "piped.onnx"
    plain = [x for x in TRAIN if x != "--keep-run"]
    fifo = tmp / "fifo"
    os.mkfifo(fifo)
    writer = subprocess.Popen(["sh", "-c", 'cat "$1" >"$2"', "sh", str(DATA), str(fifo)])
    code("a pipe by name", hone("train", NET, "--data", fifo, *plain, "-o", tmp / "fifo.onnx"), 0)
    writer.wait()
    check("the same bytes", (tmp / "fifo.onnx").read_bytes() == whole.read_bytes())
    code("a pipe as output", hone("train", NET, "--data", DATA, *plain, "--force", "-o", fifo), 6, "pipe")
    r = hone("train", NET, "--data", "-", *TRAIN, "-o", tmp / "stdin.onnx", stdin=DATA.read_bytes())
    code("standard input", r, 0)
    check("the same bytes from it", (tmp / "stdin.onnx").read_bytes() == whole.read_bytes())
    code("going on without it", hone("resume", tmp / "stdin.onnx.run", "--epochs", "+1"), 4, "standard input")
    code("and with it", hone("resume", tmp / "stdin.onnx.run", "--epochs", "+1", stdin=DATA.read_bytes()), 0)
    with open(tmp / "sparse.csv", "wb") as f:
        f.truncate(1 << 40)
    def little_memory():
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    if call("--version", before=little_memory).returncode == 0:
        r = call("eval", NET, "--data", tmp / "sparse.csv", "--target", "label", before=little_memory)
        check("a file of holes", r.returncode in (4, 5, 6) and b"sparse.csv" in r.stderr, (r.returncode, r.stderr))
    else:  # a sanitizer keeps more for itself
        print("  skipped: with 4 GiB of address space this build does not start")
    r = subprocess.run([str(a) for a in (HONE, "train", NET, "--data", DATA, *plain, "-o", tmp / "bare.onnx")], env={}, capture_output=True)
    check("an empty environment", r.returncode == 0 and (tmp / "bare.onnx").read_bytes() == whole.read_bytes(), r.stderr)


def test_files_that_are_read():
    """Nothing that is read is written into, whatever its name there: refused before anything is trained, with --force, too."""
    here = tmp / "apart"
    here.mkdir()
    for name, of in (("n.onnx", NET), ("d.csv", DATA), ("v.csv", DATA)):
        shutil.copy(of, here / name)
    (here / "x.csv").write_text("".join(line.rsplit(",", 1)[0] + "\n" for line in DATA.read_text().splitlines()))
    (here / "y.csv").write_text("".join(line.rsplit(",", 1)[1] + "\n" for line in DATA.read_text().splitlines()))
    (here / "s.yaml").write_text("lr: {low: 0.01, high: 0.1}\n")
    (here / "text").write_text("notes\n")
    (here / "link").symlink_to("d.csv")
    os.link(here / "n.onnx", here / "hard.onnx")
    was = {f: (here / f).read_bytes() for f in ("n.onnx", "d.csv", "v.csv", "x.csv", "y.csv", "s.yaml", "text")}
    job = ["train", "n.onnx", "--data", "d.csv", "--val-data", "v.csv", "--target", "label", "--epochs", 2, "--threads", 1, "--force"]
    arrays = ["train", "n.onnx", "--x", "x=x.csv", "--y", "y.csv", "--epochs", 1, "--threads", 1, "--force"]
    search = ["tune", "n.onnx", "--data", "d.csv", *JOB, "--epochs", 1, "--space", "s.yaml", "--trials", 2, "--force"]
    for args, *texts in (([*job, "--events", "n.onnx", "-o", "o.onnx"], "events: ", "the model"), ([*job, "--events", "hard.onnx", "-o", "o.onnx"], "the model"),
                         ([*job, "--events", "./d.csv", "-o", "o.onnx"], "events: ", "--data"), ([*job, "--events", "link", "-o", "o.onnx"], "--data"),
                         ([*job, "--events", "../apart/v.csv", "-o", "o.onnx"], "--val-data"), ([*job, "--events", "o.onnx", "-o", "./o.onnx"], "the result"),
                         ([*job, "--events", "text", "-o", "o.onnx"], "events: 'text'", "begin with '{'"), ([*job, "--events", "s.yaml", "-o", "o.onnx"], "s.yaml"),
                         ([*arrays, "--events", "x.csv", "-o", "o.onnx"], "that of --x "), ([*arrays, "-o", "y.csv"], "out: ", "that of --y "),
                         ([*job, "-o", "link"], "out: ", "that of --data"), ([*search, "-o", "d.csv"], "out: ", "that of --data"),
                         ([*search, "-o", "s.yaml"], "out: ", "that of --space"), ([*search, "--study", "o.onnx", "-o", "o.onnx"], "study: ", "the result"),
                         ([*search, "--study", "n.onnx", "-o", "o.onnx"], "n.onnx")):
        code(" ".join(str(a) for a in args[-4:]), hone(*args, cwd=here), 2, *texts)
        for f, bytes_ in was.items():
            check(f"{f} is as it was", (here / f).read_bytes() == bytes_)
            (here / f).write_bytes(bytes_)
        check("nothing was made", not (here / "o.onnx").exists() and not list(here.glob("*.run")), os.listdir(here))
    predict = ["predict", "n.onnx", "--data", "d.csv", "--ignore", "label", "--force"]
    given = ["predict", "n.onnx", "--x", "x=x.csv", "--force"]
    (here / "model.csv").symlink_to("n.onnx")
    os.link(here / "d.csv", here / "hard.csv")
    (here / "link.csv").symlink_to("../apart/link")
    for args, *texts in (([*predict, "-o", "d.csv"], "out: found 'd.csv', which is that of --data"), ([*predict, "-o", "./d.csv"], "that of --data"),
                         ([*predict, "-o", here / "d.csv"], "that of --data"), ([*predict, "-o", "hard.csv"], "that of --data"), ([*predict, "-o", "link.csv"], "that of --data"),
                         ([*predict, "-o", "model.csv"], "out: found 'model.csv', which is the model"), ([*given, "-o", "../apart/x.csv"], "that of --x "),
                         ([*predict[:-1], "--val-data", "v.csv", "-o", "v.csv"], "that of --val-data")):
        code(" ".join(str(a) for a in args[-4:]), hone(*args, cwd=here), 2, *texts, "it would be damaged")
        for f, bytes_ in was.items():
            check(f"predict: {f} is as it was", (here / f).read_bytes() == bytes_)
            (here / f).write_bytes(bytes_)
    for name in ("model.csv", "hard.csv", "link.csv"):
        (here / name).unlink()
    code("predictions over predictions", hone(*predict, "-o", "p.csv", cwd=here), 0)
    code("are replaced", hone(*predict, "-o", "p.csv", cwd=here), 0)
    code("a run that is kept", hone(*job, "--events", "e.jsonl", "--keep-run", "-o", "o.onnx", cwd=here), 0)
    (here / "o.onnx.run" / "none.html").symlink_to("run.json")
    for name in ("o.onnx.run/run.json", "./o.onnx.run/../o.onnx.run/metrics.csv", "o.onnx.run/none.html"):
        before = (here / name).read_bytes()
        code(f"report -o {name}", hone("report", "o.onnx.run", "--force", "-o", name, cwd=here), 2, "which is a file of the run")
        check("is as it was", (here / name).read_bytes() == before)
    code("a page", hone("report", "o.onnx.run", cwd=here), 0)
    code("over a page", hone("report", "./o.onnx.run/", "-o", "o.onnx.run/report.html", cwd=here), 0)
    (here / "o.onnx.run" / "none.html").unlink()
    code("lines are appended to lines", hone(*job, "--events", "e.jsonl", "-o", "n.onnx", "--keep-run", cwd=here), 0)
    begun = [json.loads(line)["event"] for line in (here / "e.jsonl").read_text().splitlines()].count("start")
    check("both runs' lines", begun == 2, begun)
    with open(here / "log", "a+") as log:
        log.write("a line\n")
        log.flush()
        r = call(*job, "--events", "/dev/stderr", "--quiet", "-o", "open.onnx", cwd=here, stderr=log)
        check("an open stream", r.returncode == 0 and (here / "log").read_text().startswith('a line\n{"event":"start"'), (r.returncode, (here / "log").read_text()))
    (here / "e.jsonl").write_text("mine\n")
    code("resumed", hone("resume", "o.onnx.run", "--epochs", "+1", cwd=here), 2, "e.jsonl", "no events")
    check("stays", (here / "e.jsonl").read_text() == "mine\n")


def test_dashes():
    """What is said to be typed can be typed, of names that begin with a dash, too."""
    job = ["train", NET, "--data", DATA, *JOB, "--epochs", 2, "--keep-run"]
    r = hone(*job, "-o", "-dash.onnx", cwd=tmp)
    code("-o -dash.onnx", r, 0, "hone report ./-dash.onnx.run")
    (tmp / "-dash.onnx").unlink()
    code("once more", hone(*job, "-o", "-dash.onnx", cwd=tmp), 2, "hone resume ./-dash.onnx.run")
    code("as it was said", hone("resume", "./-dash.onnx.run", "--epochs", "+1", cwd=tmp), 0)
    p = subprocess.Popen([str(a) for a in (HONE, *job[:-2], 1000000000, "--keep-run", "-q", "-o", "-long.onnx")], cwd=tmp, stderr=subprocess.PIPE)
    while p.poll() is None and not (tmp / "-long.onnx.run" / "status.json").exists():
        time.sleep(0.01)
    p.send_signal(signal.SIGTERM)
    said = p.communicate()[1]
    check("interrupted", p.returncode == 143 and b"hone resume ./-long.onnx.run" in said, (p.returncode, said))


def test_little_address_space():
    """As many threads as there is room for, if their number was not asked for. OpenBLAS wants 128 MiB for the Gaussian process and would wait
    for them for ever: they are looked for before anything is trained."""
    def limit(kilobytes, stack=0):
        def both():
            resource.setrlimit(resource.RLIMIT_AS, (kilobytes << 10, kilobytes << 10))
            if stack:
                resource.setrlimit(resource.RLIMIT_STACK, (stack << 10, resource.getrlimit(resource.RLIMIT_STACK)[1]))
        return both
    if call("--version", before=limit(160000)).returncode != 0:
        print("  skipped: in 160 MB of address space this build does not start")
        return
    env = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    r = call("inspect", NET, "--json", before=limit(200000), stdout=subprocess.PIPE, env=env)
    check("inspect", r.returncode == 0 and json.loads(r.stdout)["ok"], (r.returncode, r.stderr))
    out, whole = tmp / "little.onnx", (tmp / "whole.onnx").read_bytes()
    at = TRAIN.index("--threads")
    unasked = TRAIN[:at] + TRAIN[at + 2:]
    for what, memory, args in (("one thread", limit(200000), TRAIN), ("two threads", limit(250000), [*unasked, "--threads", 2]),
                               ("as many as fit", limit(200000), unasked), ("no room for a second stack", limit(300000, stack=250000), unasked)):
        r = call("train", NET, "--data", DATA, *args, "--force", "-o", out, before=memory, env=env)
        check(what, r.returncode == 0 and out.read_bytes() == whole, (r.returncode, r.stderr))
    search = ["tune", NET, "--data", DATA, *TUNE, "--run-dir", tmp / "little", "--force", "-o", out]
    r = call(*search, "--json", before=limit(160000), stdout=subprocess.PIPE, env=env)
    said = json.loads(r.stdout or "{}").get("error", {})
    check("a Gaussian process", r.returncode == 5 and said.get("code") == "HONE_E_NOMEM", (r.returncode, r.stdout, r.stderr))
    check("what is missing", "128 MiB" in said["text"] and "--sampler" in said["hint"], said)
    for what, memory, more in (("without it", limit(160000), ["--sampler", "random"]), ("with it", limit(400000), [])):
        r = call(*search, *more, before=memory, env=env)
        check(what, r.returncode == 0, (r.returncode, r.stderr))


def test_no_threads():
    """Where a process may have one thread, one is enough: OpenBLAS, which ends the process where it cannot have its own, starts none. The
    cores that Hone may use are those of the process all the same."""
    here = tmp / "nobody"
    here.mkdir()
    tmp.chmod(0o755)
    here.chmod(0o777)
    def alone():
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        if os.geteuid() == 0:  # no limit for root
            os.setgid(65534)
            os.setuid(65534)
    env = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    no_leaks = dict(env, ASAN_OPTIONS="detect_leaks=0")  # LeakSanitizer, where there is one, wants a process of its own
    try:
        r = call("train", NET, "--data", DATA, *TRAIN, "-o", here / "o.onnx", before=alone, env=no_leaks, cwd=here)
        check("one thread", r.returncode == 0 and (here / "o.onnx").read_bytes() == (tmp / "whole.onnx").read_bytes(), (r.returncode, r.stderr))
    except PermissionError as e:
        print("  skipped: another user may not run this build:", e)
    cores = sorted(os.sched_getaffinity(0))
    for some in (cores, cores[-1:]):
        r = call("doctor", "--json", before=lambda: os.sched_setaffinity(0, some), stdout=subprocess.PIPE, env=env)
        check(f"{len(some)} cores", json.loads(r.stdout)["cpu"]["cores"] == len(some), r.stdout)


def test_place_of_a_continued_run():
    """Where the result cannot be written is known before the run goes on; what is there from an earlier end is replaced, what is not
    the run's is not."""
    out, run = tmp / "place.onnx", tmp / "place.onnx.run"
    code("a run", hone("train", NET, "--data", DATA, *TRAIN, "-o", out), 0)
    before = out.read_bytes()
    shutil.copytree(run, tmp / "first.run")
    out.unlink()
    out.mkdir()
    code("its place is taken by a folder", hone("resume", run, "--epochs", "+2"), 6, "is a folder")
    check("nothing was trained", '"end"' not in (run / "events.jsonl").read_text().split('"start"')[-1] or
          (run / "events.jsonl").read_text().count('"start"') == 1)
    out.rmdir()
    out.write_bytes(before)
    code("with its place back", hone("resume", run, "--epochs", "+2"), 0)
    longer = out.read_bytes()
    check("another model", longer != before)
    out.write_bytes(before)  # as if the disk had failed between the end of the training and the writing
    code("at its end, with the model of fewer epochs in its place", hone("resume", run), 0, "written to")
    check("which is replaced", out.read_bytes() == longer)
    code("once more", hone("resume", run), 0, "finished already")
    code("an older copy of the folder", hone("resume", tmp / "first.run"), 0, "finished already")
    check("does not replace the model of more epochs", out.read_bytes() == longer)
    other = tmp / "theirs.onnx"
    shutil.copy(NET, other)
    code("-o a file that is there", hone("resume", run, "--epochs", "+1", "-o", other), 2, "--force", "theirs.onnx")
    check("it stays", other.read_bytes() == NET.read_bytes())
    code("-o another place", hone("resume", run, "-o", tmp / "ours.onnx"), 0, "written to")
    check("gets the model", (tmp / "ours.onnx").read_bytes() == longer)
    code("--force", hone("resume", run, "--epochs", "+1", "-o", other, "--force"), 0)
    check("replaces it", other.read_bytes() not in (NET.read_bytes(), longer))


def test_no_leave_to_write():
    """Folders one may only read (root may everything: then nothing is tested)."""
    if os.geteuid() == 0:
        print("  skipped for root: folders that may only be read")
        return
    ro = tmp / "ro"
    ro.mkdir()
    ro.chmod(0o500)
    for args in (["train", NET, "--data", DATA, *TRAIN, "-o", ro / "o.onnx"], ["tune", NET, "--data", DATA, *TUNE, "-o", ro / "o.onnx"],
                 ["train", NET, "--data", DATA, *TRAIN, "--tensorboard", ro / "tb", "-o", tmp / "tb.onnx"], ["ask", ro / "s.db", "--search", "lr=0..1"]):
        code(f"{args[0]} there", hone(*args), 6, "Permission denied")
    check("nothing is left there", not os.listdir(ro))
    ro.chmod(0o700)


def test_links():
    """A link at the place of a result stays; what it points to is replaced, beside itself. Stores keep their files from it."""
    store = tmp / "store"
    store.mkdir()
    shutil.copy(NET, store / "m.onnx")
    for name, to in (("m.onnx", "store/m.onnx"), ("new.onnx", "store/new.onnx"), ("r.html", str(store / "r.html")), ("p.csv", "store/p.csv"),
                     ("lost.onnx", "none/x.onnx")):
        (tmp / name).symlink_to(to)
    args = ["--data", DATA, *TRAIN]
    plain = tmp / "plain.onnx"
    code("to a file", hone("train", NET, *args, "-o", plain), 0)
    code("without --force", hone("train", NET, *args, "-o", tmp / "m.onnx"), 2, "--force")
    code("to a link", hone("train", NET, *args, "--force", "-o", tmp / "m.onnx"), 0)
    code("to one that points to nothing yet", hone("train", NET, *args, "-o", tmp / "new.onnx"), 0)
    for name in ("m.onnx", "new.onnx"):
        check(f"{name}: the link stays", (tmp / name).is_symlink() and not (store / name).is_symlink())
        check(f"{name}: the model is behind it", (store / name).read_bytes() == plain.read_bytes())
    code("onto itself", hone("train", tmp / "m.onnx", *args, "--force", "-o", tmp / "m.onnx"), 0)
    code("a report", hone("report", tmp / "m.onnx.run", "-o", tmp / "r.html"), 0)
    code("once more", hone("report", tmp / "m.onnx.run", "-o", tmp / "r.html"), 0)
    code("predictions", hone("predict", tmp / "m.onnx", "--data", DATA, "--ignore", "label", "-o", tmp / "p.csv"), 0)
    for name in ("m.onnx", "r.html", "p.csv"):
        check(f"{name}: still a link", (tmp / name).is_symlink() and (store / name).is_file())
    check("nothing else is left", sorted(os.listdir(store)) == ["m.onnx", "new.onnx", "p.csv", "r.html"], os.listdir(store))
    code("no folder there", hone("train", NET, *args, "-o", tmp / "lost.onnx"), 6, "none")
    (store / "m.onnx").chmod(0o444)
    was = (store / "m.onnx").read_bytes()
    code("a store's file", hone("train", NET, *args, "--force", "--seed", 9, "-o", tmp / "m.onnx"), 6, "write-protected", "dvc unprotect")
    check("it is as it was", (store / "m.onnx").read_bytes() == was and (tmp / "m.onnx").is_symlink())


def test_study_that_cannot_be_opened():
    """A search that is to go on and cannot: its record says so, and why; options that do not fit leave it as it was."""
    out = tmp / "study.onnx"
    run = tmp / "study.onnx.run"
    job = ["tune", NET, "--data", DATA, *TUNE]
    code("a search", hone(*job, "-o", out), 0)
    was = json.loads((run / "study.json").read_text())
    study = (run / "study.db").read_bytes()
    code("with another space", hone(*job, "--search", "lr_gamma=0.1,0.2", "--lr-schedule", "step", "--run-dir", run, "-o", tmp / "more.onnx"), 2)
    check("is not its failure", json.loads((run / "study.json").read_text()) == was)
    (run / "study.db").write_bytes(b"no database" + study[11:])
    more = [*job, "--trials", 6, "--run-dir", run, "-o", tmp / "more.onnx"]
    r = hone(*more)
    check("it cannot go on", r.code == 2 and "study.db" in r.err, (r.code, r.err))
    now = json.loads((run / "study.json").read_text())
    check("its record says so", now["stop_reason"] == "error" and now["error"]["text"] in r.err and now["trials"] == was["trials"], now.get("error"))
    code("its page", hone("report", run), 0)
    check("tells it, too", "no study" in (run / "report.html").read_text())
    (run / "study.db").write_bytes(study[:len(study) // 2])
    r = hone(*more)
    now = json.loads((run / "study.json").read_text())
    check("a torn one", r.code not in (0, 2) and now["stop_reason"] == "error" and now["error"]["text"] in r.err, (r.code, r.err))
    (run / "study.db").write_bytes(study)
    code("mended it goes on", hone(*more), 0)
    now = json.loads((run / "study.json").read_text())
    check("and is no failure any more", now["stop_reason"] == was["stop_reason"] and "error" not in now, now["stop_reason"])


def test_long_names():
    """Names of 255 bytes and paths near PATH_MAX: they work, or it is said what is too long and what to do; nothing is left."""
    place = tmp / "long"
    place.mkdir()
    name = place / ("n" * 250 + ".onnx")
    args = ["--data", DATA, *JOB, "--epochs", 1]
    code("its run folder's name is too long", hone("train", NET, *args, "-o", name), 6, "run folder", "File name too long", "--run-dir")
    code("a search's, too", hone("tune", NET, "--data", DATA, *TUNE, "-o", name), 6, "--run-dir")
    code("with --run-dir", hone("train", NET, *args, "--run-dir", place / "r", "--keep-run", "-o", name), 0)
    code("onto itself", hone("train", name, *args, "--run-dir", place / "r2", "--force", "-o", name), 0)
    code("searched", hone("tune", name, "--data", DATA, *TUNE, "--run-dir", place / "r3", "--force", "-o", name), 0)
    code("predicted", hone("predict", name, "--data", DATA, "--ignore", "label", "-o", place / ("p" * 251 + ".csv")), 0)
    code("reported", hone("report", place / "r", "-o", place / ("h" * 250 + ".html")), 0)
    code("a study of 255", hone("ask", place / ("s" * 252 + ".db"), "--search", "a=0..1"), 6, "255 bytes, wanted 247 at most")
    code("a study of 247", hone("ask", place / ("s" * 244 + ".db"), "--search", "a=0..1"), 0)
    deep = place
    while len(str(deep)) < 3800:
        deep = deep / ("d" * 200)
    deep.mkdir(parents=True)
    code("deep down", hone("train", NET, *args, "--keep-run", "--tensorboard", deep / "tb", "--events", deep / "e.jsonl", "-o", deep / "m.onnx"), 0)
    code("read there", hone("train", deep / "m.onnx", *args, "-o", deep / "again.onnx"), 0)
    code("its report", hone("report", deep / "m.onnx.run"), 0)
    code("resumed", hone("resume", deep / "m.onnx.run"), 0, "finished")
    for args in (["ask", deep / "s.db", "--search", "a=0..1"], ["tune", NET, "--data", DATA, *TUNE, "-o", deep / "t.onnx"]):
        code(f"no study of {args[0]} there", hone(*args), 6, "bytes, SQLite takes", "--study FILE")
    code("from there, by a short name", hone("ask", "s.db", "--search", "a=0..1", cwd=deep), 6, "SQLite takes")
    check("no study is left", not list(deep.rglob("*.db")), list(deep.rglob("*.db")))
    code("a study elsewhere", hone("tune", NET, "--data", DATA, *TUNE, "--study", place / "t.db", "-o", deep / "t.onnx"), 0)
    far = deep / ("n" * (4096 - len(str(deep)) - 1))
    code("longer than any path", hone("train", NET, "--data", DATA, *JOB, "-o", far), 6, "too long")
    code("and read", hone("inspect", far), 6, "too long")


def test_decimal_comma():
    """In a place whose numbers have commas all that is written and said has points, and what was written reads back."""
    places = tmp / "locales"
    places.mkdir()
    made = shutil.which("localedef") and subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", places / "de_DE.UTF-8"],
                                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    if not made:
        print("  skipped: localedef has no de_DE")
        return
    lost = tmp / "lost_by_glibc" # with LOCPATH its newlocale(), which p11-kit below libpq calls as it is loaded, does not free the path
    lost.write_text("leak:__argz_add_sep\n")
    known = {"LSAN_OPTIONS": f"suppressions={lost}:print_suppressions=0"}
    said = []
    for i, env in enumerate(({"LC_ALL": "C"}, {"LC_ALL": "de_DE.UTF-8", "LOCPATH": str(places), **known})):
        at = tmp / f"comma{i}"
        at.mkdir()
        shutil.copy(NET, at / "n.onnx")
        (at / "s.yaml").write_text("lr: {low: 0.001, high: 0.1, log: true}\n")
        (at / "c.yaml").write_text("lr: 0.0125\n")
        for args in (["train", "n.onnx", "--data", DATA, *TRAIN, "--scale", "standard", "--config", "c.yaml", "-o", "t.onnx"],
                     ["tune", "n.onnx", "--data", DATA, *JOB, "--epochs", 2, "--space", "s.yaml", "--trials", 4, "--jobs", 1, "-o", "u.onnx"],
                     ["predict", "t.onnx", "--data", DATA, "--ignore", "label", "-o", "p.csv"], ["eval", "t.onnx", "--data", DATA, "--target", "label"],
                     ["gradcheck", "n.onnx"], ["inspect", "t.onnx"], ["ask", "a.db", "--search", "a=0.25..1.5", "--json"],
                     ["tell", "a.db", 0, "0.125", "--json"]):
            r = hone(*args, cwd=at, env={**os.environ, **env})
            code(f"{env['LC_ALL']}: {args[0]}", r, 0)
            said.append((i, args[0], r.out if args[0] in ("eval", "gradcheck", "inspect", "ask", "tell") else ""))
    half = len(said) // 2
    check("the same is said", [s[1:] for s in said[:half]] == [s[1:] for s in said[half:]], said)
    for name in ("t.onnx", "u.onnx", "p.csv", "u.onnx.run/best.yaml", "u.onnx.run/metrics.json"):
        check(f"{name}: the same bytes", (tmp / "comma0" / name).read_bytes() == (tmp / "comma1" / name).read_bytes())


make()
test_long_names()
test_decimal_comma()
test_links()
test_study_that_cannot_be_opened()
test_closed_streams()
test_full_stdout()
test_names()
test_limits()
test_data()
test_dashes()
test_files_that_are_read()
test_little_address_space()
test_no_threads()
test_place_of_a_continued_run()
test_no_leave_to_write()
_hone.finish("surroundings", tmp)
